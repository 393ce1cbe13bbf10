"""Conditional writes to S3: If-None-Match for new objects, If-Match for replaced ones, also of multipart uploads.

`s3fs` has the first but not the second. A multipart upload becomes an object when it is completed, which is where its
condition is checked; one that breaks is aborted, and never seen as an object.
(https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html)
"""

import contextlib
from pathlib import Path
from typing import Any

import s3fs
from botocore.exceptions import BotoCoreError


class OneAttemptS3(s3fs.S3FileSystem):
    """The file system of s3fs with single attempts: `store.Store` repeats them, with one limit for all of them."""

    retries = 1


def file_system(timeout_seconds: float) -> OneAttemptS3:
    """The file system, with credentials and endpoint by the environment (`AWS_ENDPOINT_URL`)."""
    limits = {"connect_timeout": timeout_seconds, "read_timeout": timeout_seconds}
    return OneAttemptS3(
        config_kwargs={**limits, "retries": {"total_max_attempts": 1}},
        use_listings_cache=False,
        skip_instance_cache=True,
    )


def put(fs: OneAttemptS3, path: str, source: bytes | Path, expected: str | None, part_bytes: int) -> str:
    """Writes an object under a condition.

    Args:
      fs: The file system.
      path: Bucket and key.
      source: Content, or the file that has it.
      expected: ETag of the object that is replaced; None if there must be none.
      part_bytes: Size from which the upload has parts of this size.

    Returns:
      ETag of the new object.

    Raises:
      OSError: If the condition is not met (code `PreconditionFailed`), or the request fails.
    """
    bucket, _, key = path.partition("/")
    where = {"Bucket": bucket, "Key": key}
    condition = {"IfNoneMatch": "*"} if expected is None else {"IfMatch": f'"{expected}"'}
    size = len(source) if isinstance(source, bytes) else source.stat().st_size
    if isinstance(source, bytes) or size < 2 * part_bytes:
        body = source if isinstance(source, bytes) else source.read_bytes()
        return _tag(fs.call_s3("put_object", **where, **condition, Body=body))
    upload = where | {"UploadId": fs.call_s3("create_multipart_upload", **where)["UploadId"]}
    try:
        parts: list[dict[str, Any]] = []
        with source.open("rb") as stream:
            while piece := stream.read(part_bytes):
                number = len(parts) + 1
                tag = fs.call_s3("upload_part", **upload, PartNumber=number, Body=piece)["ETag"]
                parts.append({"PartNumber": number, "ETag": tag})
        if expected is not None and _tag(fs.call_s3("head_object", **where)) != expected:
            raise FileExistsError(path)  # for stores that know the condition of `put_object` alone
        return _tag(fs.call_s3("complete_multipart_upload", **upload, **condition, MultipartUpload={"Parts": parts}))
    except BaseException:
        with contextlib.suppress(OSError, BotoCoreError):  # the first error counts
            fs.call_s3("abort_multipart_upload", **upload)
        raise


def _tag(answer: dict[str, Any]) -> str:
    return str(answer["ETag"]).strip('"')
