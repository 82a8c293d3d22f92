"""Errors of S3 and of the way to it: whose they are, whether a retry may help, and what to tell the user."""

from typing import TypeGuard

import aiohttp
from botocore import exceptions as boto

from clipneuron.store.errors import ObjectMissingError, PlaceError, StoreError

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
    "ThrottlingException",
    "RequestLimitExceeded",
    "BandwidthLimitExceeded",
    "TooManyRequests",
    "429",
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
    "AuthFailure",
    "AuthorizationHeaderMalformed",
    "ExpiredToken",
    "ExpiredTokenException",
    "InvalidAccessKeyId",
    "InvalidClientTokenId",
    "InvalidSecurity",
    "InvalidToken",
    "RequestExpired",
    "RequestTimeTooSkewed",
    "SignatureDoesNotMatch",
    "TokenRefreshRequired",
    "UserSuspended",
}
_OF_THE_BUCKET = {"NoSuchBucket", "AllAccessDisabled", "AccountProblem"}
_REDIRECTED = {301, 307}
_OF_THE_OBJECT = (boto.ParamValidationError, boto.FlexibleChecksumError)
"""Errors without an answer that another object need not meet: a key that S3 does not allow, damaged bytes."""


def code(error: BaseException) -> str:
    """S3's name of the error, or the status where the response had no body; "" if there was no response."""
    return str(error.response["Error"].get("Code", "")) if _answered(error) else ""


def passing(error: BaseException) -> bool:
    """True if the same request may succeed a little later."""
    if _answered(error):
        lasting = code(error) in _FULL or _status(error) in _LASTING_STATUS
        return not lasting and (_status(error) >= 500 or code(error) in _PASSING_CODES)
    return isinstance(error, _PASSING) and not isinstance(error, boto.SSLError)


def of_the_place(error: BaseException) -> bool:
    """True where another object would meet the same: credentials, the bucket, the network, throttling.

    False says only that the error may be the object's own; AccessDenied is either.
    """
    if not _answered(error):
        return not isinstance(error, _OF_THE_OBJECT)
    lasting = code(error) in _OF_THE_BUCKET or _status(error) in _REDIRECTED
    return lasting or refused(error) or passing(error) or _status(error) >= 500


def refused(error: BaseException) -> bool:
    """True if the credentials themselves were not accepted: expired, unknown, or signed by a wrong clock."""
    return isinstance(error, _NO_CREDENTIALS) or code(error) in _REFUSED_CREDENTIALS


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
    kind = PlaceError if of_the_place(error) or _denied(error) else StoreError
    return kind(f"can't {action} {location}: {_reason(error, location, endpoint)}")


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
    if code(error) == "RequestTimeTooSkewed":
        return f"{endpoint} does not accept the time of this machine ({message}): set its clock"
    if refused(error):
        return (
            f"{endpoint} does not accept the credentials ({message}): renew them, or check AWS_ACCESS_KEY_ID and "
            "the rest"
        )
    if code(error) in _FULL or _status(error) == 507:
        return f"the store is full ({message}): free some space and run the same command again"
    if _denied(error):
        return f"access denied ({message}): these credentials may not do this in bucket {bucket!r}"
    if _status(error) in _REDIRECTED:
        return f"bucket {bucket!r} is in another region ({message}): set AWS_DEFAULT_REGION"
    if passing(error):
        return f"{endpoint} kept failing ({message}): run the same command again later"
    return f"{endpoint} refused it ({message})"


def _answered(error: BaseException) -> TypeGuard[boto.ClientError]:
    return isinstance(error, boto.ClientError)


def _denied(error: BaseException) -> bool:
    return _answered(error) and _status(error) in {401, 403}


def _status(error: boto.ClientError) -> int:
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
