"""Multipart uploads: large objects are sent in parts, and what never ended is found and aborted."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

from clipneuron.store.objects import s3_errors

PART = 32 * 2**20
"""Bytes."""
_PARTS_AT_ONCE = 4


async def put_parts(client: Any, place: dict[str, Any], data: bytes, kind: dict[str, str]) -> None:
    """Write the object in parts, several at a time; `kind` says what it is."""
    async with _upload(client, place, kind) as upload:
        limit = asyncio.Semaphore(_PARTS_AT_ONCE)

        async def send(number: int) -> dict[str, Any]:
            async with limit:
                body = memoryview(data)[(number - 1) * PART : number * PART]
                sent = await client.upload_part(**upload, PartNumber=number, Body=bytes(body))
                return {"PartNumber": number, "ETag": sent["ETag"]}

        async with asyncio.TaskGroup() as group:
            sends = [
                group.create_task(send(1 + start // PART)) for start in range(0, len(data), PART)
            ]
        sent = {"Parts": [each.result() for each in sends]}
        await client.complete_multipart_upload(**upload, MultipartUpload=sent)


@asynccontextmanager
async def _upload(
    client: Any, place: dict[str, Any], kind: dict[str, str]
) -> AsyncIterator[dict[str, Any]]:
    """A multipart upload, aborted if it does not come to its end; raises the first error of its parts."""
    begun = await client.create_multipart_upload(**place, **kind)
    upload = place | {"UploadId": begun["UploadId"]}
    try:
        yield upload
    except BaseException as error:
        with suppress(*s3_errors.TROUBLE):  # what remains is garbage, and must not hide this error
            await client.abort_multipart_upload(**upload)
        raise error.exceptions[0] if isinstance(error, ExceptionGroup) else error from None


async def abort(client: Any, upload: dict[str, Any]) -> None:
    """End an upload without an object; it is no error if it is gone."""
    try:
        await client.abort_multipart_upload(**upload)
    except s3_errors.TROUBLE as error:
        if s3_errors.code(error) != "NoSuchUpload":
            raise


async def uploads(client: Any, request: dict[str, Any]) -> list[dict[str, Any]]:
    """The uploads that were begun and never ended."""
    pages = client.get_paginator("list_multipart_uploads").paginate(**request)
    return [upload async for page in pages for upload in page.get("Uploads", ())]


async def uploaded(client: Any, upload: dict[str, Any]) -> int:
    """Bytes that an upload holds, of its first thousand parts."""
    try:
        answer = await client.list_parts(**upload)
    except s3_errors.TROUBLE as error:
        if s3_errors.code(error) == "NoSuchUpload":
            return 0
        raise
    return sum(part["Size"] for part in answer.get("Parts", ()))
