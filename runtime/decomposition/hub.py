"""Bundles on the Hugging Face Hub: `hf:owner/name@revision`, downloaded once.

The revision has to be named: what a branch leads to changes. A commit's 40 digits are the only name that cannot; with one,
nothing is asked of the hub once the files are here.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path

from intrinsic_flow.errors import InputError, MissingExtraError
from intrinsic_flow.media.atomic_file import replace_when_complete

PREFIX = "hf:"
_PART = r"[A-Za-z0-9][A-Za-z0-9._-]*"
REPOSITORY_NAME = rf"{_PART}/{_PART}"
_ADDRESS = re.compile(rf"hf:({REPOSITORY_NAME})@([A-Za-z0-9][\w./-]*)")
_COMMIT = re.compile(r"[0-9a-f]{40}")


def fetch(address: str, manifest_file: str, listed: Callable[[Path], Iterable[str]]) -> Path:
    """Folder of a bundle on the hub with all of its files; what else the repository holds is left there.

    address: "hf:owner/name@revision", revision a commit, tag or branch. listed: the files that the checked manifest in a
    folder names. Without a connection a copy serves that is here.
    The files lie in HF_HOME/intrinsic-flow/ and not in the hub's own cache, whose files are links: OpenVINO and onnx refuse
    weights behind a link. The caller checks sizes and SHA-256. Raises InputError, MissingExtraError.
    """
    found = _ADDRESS.fullmatch(address)
    if found is None:
        raise InputError(address, "no address of a bundle on the hub", f"{PREFIX}owner/name@revision, best a commit")
    repository, revision = found.groups()
    try:
        from huggingface_hub import constants, hf_hub_download, snapshot_download
        from huggingface_hub.errors import (
            HfHubHTTPError,
            HFValidationError,
            RemoteEntryNotFoundError,
            RepositoryNotFoundError,
            RevisionNotFoundError,
        )
    except ModuleNotFoundError as error:
        raise MissingExtraError("huggingface_hub", "hub") from error

    # HfHubHTTPError is one of those of the HTTP library below, which differs from version to version.
    unreachable: tuple[type[BaseException], ...] = (OSError, *HfHubHTTPError.__bases__)
    answers = (RevisionNotFoundError, RepositoryNotFoundError, RemoteEntryNotFoundError)
    kept = Path(constants.HF_HOME) / "intrinsic-flow" / repository.replace("/", "--")
    try:
        folder = kept / revision
        if not _COMMIT.fullmatch(revision) or not (folder / manifest_file).is_file():
            try:
                manifest = Path(hf_hub_download(repository, manifest_file, revision=revision))
            except answers:
                raise
            except unreachable:
                # Of ways to fail, the library takes only some for a missing connection.
                manifest = Path(hf_hub_download(repository, manifest_file, revision=revision, local_files_only=True))
            # The folder's name is the commit; all files come from that one, whatever becomes of the branch in between.
            folder = kept / manifest.parent.name
            folder.mkdir(parents=True, exist_ok=True)
            with replace_when_complete(folder / manifest_file) as part:
                shutil.copyfile(manifest, part)
        files = [manifest_file, *listed(folder)]
        if not all((folder / file).is_file() for file in files):
            snapshot_download(repository, revision=folder.name, allow_patterns=files, local_dir=folder)
    except RevisionNotFoundError as error:
        raise InputError(address, f"no revision {revision}", "a commit, tag or branch of the repository") from error
    except RepositoryNotFoundError as error:
        expected = "a repository; private ones after hf auth login"
        raise InputError(address, "no such repository, or none for you", expected) from error
    except RemoteEntryNotFoundError as error:
        raise InputError(address, f"no {manifest_file}", "a repository with a model bundle") from error
    except HFValidationError as error:
        raise InputError(address, str(error), "a repository's name") from error
    except unreachable as error:
        reason = f"no copy here and no download ({error.__context__ or error})"
        raise InputError(address, reason, "a connection to the hub, and room for the files") from error
    return folder
