"""Where a write failed for want of space or of leave, said once for all commands."""

import errno
import os
import re

from captiongen.errors import StorageError

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_REFUSED = (errno.EROFS, errno.EACCES, errno.EPERM)
_IN_THE_WAY = (errno.ENOTDIR, errno.EISDIR)
# How safetensors, which is written in Rust, ends its messages.
_OS_ERROR = re.compile(r"\(os error (\d+)\)")


def storage_error(error: Exception) -> StorageError | None:
    """Returns what to tell of an error of the file system, or None where `error` is another kind of error.

    The vendors' error types are told by their names, so that none of them is imported here.
    """
    if isinstance(error, OSError):
        code, place = error.errno, error.filename
    elif type(error).__name__ == "SafetensorError" and (match := _OS_ERROR.search(str(error))):
        code, place = int(match.group(1)), None
    else:
        return None
    named = os.fsdecode(place) if isinstance(place, str | bytes | os.PathLike) else "a file"
    if code in _FULL:
        return StorageError(
            f"{named} could not be written: {os.strerror(code)}. What stood there before is intact. Make room (`df -h` "
            "shows where; .captiongen/cache may be deleted, `dvc gc` clears DVC's cache), then run the command again."
        )
    if code in _REFUSED:
        return StorageError(
            f"{named} could not be opened or written: {os.strerror(code)}. What stood there before is intact. Let this "
            "user read and write the project folder (`ls -l` shows whose it is), then run the command again."
        )
    if code in _IN_THE_WAY:
        return StorageError(
            f"{named}: {os.strerror(code)}. A file stands where a folder should, or the other way round. Move it out "
            "of the way, then run the command again."
        )
    return None
