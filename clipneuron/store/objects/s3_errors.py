"""Errors of S3 and of the connection to it: whether a retry may help, and what to tell the user."""

from typing import TypeGuard

import aiohttp
from botocore import exceptions as boto

from clipneuron.store.errors import ObjectMissingError, StoreError

TROUBLE = (boto.BotoCoreError, boto.ClientError, aiohttp.ClientError, OSError)
"""Every error that a request may raise."""

_PASSING = (
    boto.HTTPClientError,
    boto.ConnectionError,
    boto.ResponseStreamingError,
    boto.FlexibleChecksumError,
    boto.IncompleteReadError,
    aiohttp.ClientError,
    TimeoutError,
    ConnectionError,
)
_PASSING_CODES = {
    "ConditionalRequestConflict",  # two create-only writes at once: the next response shows which one won
    "NoSuchUpload",  # the response that completes a multipart upload got lost: it is written again
    "OperationAborted",
    "RequestTimeout",
    "SlowDown",
    "Throttling",
    "TooManyRequests",
    "XAmzContentChecksumMismatch",
    "BadDigest",
}
_FULL = {"InsufficientStorage", "QuotaExceeded", "XMinioStorageFull", "EntityTooLarge"}
_LASTING_STATUS = {501, 505, 507}
_NO_CREDENTIALS = (
    boto.NoCredentialsError,
    boto.PartialCredentialsError,
    boto.CredentialRetrievalError,
    boto.ProfileNotFound,
)
_REFUSED_CREDENTIALS = {
    "AuthorizationHeaderMalformed",
    "ExpiredToken",
    "InvalidAccessKeyId",
    "InvalidToken",
    "RequestTimeTooSkewed",
    "SignatureDoesNotMatch",
    "TokenRefreshRequired",
}


def code(error: BaseException) -> str:
    """S3's name of the error, or the status where the response had no body; "" if there was no response."""
    return str(error.response["Error"].get("Code", "")) if _answered(error) else ""


def passing(error: BaseException) -> bool:
    """True if the same request may succeed a little later."""
    if _answered(error):
        lasting = code(error) in _FULL or _status(error) in _LASTING_STATUS
        return not lasting and (_status(error) >= 500 or code(error) in _PASSING_CODES)
    return isinstance(error, _PASSING) and not isinstance(error, boto.SSLError)


def exists_already(error: BaseException) -> bool:
    """True if a create-only write was refused because there is an object."""
    return code(error) in {"PreconditionFailed", "412"}


def missing(error: BaseException) -> bool:
    """True if there is no such object."""
    return code(error) in {"NoSuchKey", "404"}


def explained(error: BaseException, action: str, location: str, endpoint: str) -> StoreError:
    """The error that names the address (s3://...), what was wrong there and what to do about it."""
    if missing(error):
        return ObjectMissingError(location)
    return StoreError(f"can't {action} {location}: {_reason(error, location, endpoint)}")


def _reason(error: BaseException, location: str, endpoint: str) -> str:
    if isinstance(error, _NO_CREDENTIALS):
        return (
            f"no credentials for S3 were found ({error}): set AWS_ACCESS_KEY_ID and "
            "AWS_SECRET_ACCESS_KEY, or AWS_PROFILE"
        )
    if _answered(error):
        return _refusal(error, location.split("/")[2], endpoint)
    if isinstance(error, TimeoutError | boto.ReadTimeoutError):
        return f"{endpoint} did not answer in time: run the same command again"
    if isinstance(
        error, boto.ConnectionError | boto.HTTPClientError | OSError | aiohttp.ClientError
    ):
        return (
            f"the connection to {endpoint} failed ({error}): check AWS_ENDPOINT_URL and the network"
        )
    return f"{type(error).__name__}: {error}"


def _refusal(error: boto.ClientError, bucket: str, endpoint: str) -> str:
    message = f"{code(error)}: {error.response['Error'].get('Message', 'no message')}"
    if code(error) == "NoSuchBucket":
        return f"there is no bucket {bucket!r} at {endpoint}: check its name or create it first"
    if code(error) in _REFUSED_CREDENTIALS:
        return f"{endpoint} does not accept the credentials ({message}): check AWS_ACCESS_KEY_ID and the rest"
    if code(error) in _FULL or _status(error) == 507:
        return f"the store is full ({message}): free some space and run the same command again"
    if _status(error) in {401, 403}:
        return f"access denied ({message}): these credentials may not do this in bucket {bucket!r}"
    if _status(error) in {301, 307}:
        return f"bucket {bucket!r} is in another region ({message}): set AWS_DEFAULT_REGION"
    if passing(error):
        return f"{endpoint} kept failing ({message}): run the same command again later"
    return f"{endpoint} refused it ({message})"


def _answered(error: BaseException) -> TypeGuard[boto.ClientError]:
    return isinstance(error, boto.ClientError)


def _status(error: boto.ClientError) -> int:
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
