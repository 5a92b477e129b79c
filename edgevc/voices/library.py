"""Voice files, and the folder where they lie: found by name, checked, and refused where they are another model's."""

from __future__ import annotations

import os
import re
from pathlib import Path

from edgevc.bundle import ModelBundle, Voice
from edgevc.bundle.pseudo import is_pseudo
from edgevc.errors import ConfigError, ModelError, OutputError
from edgevc.files import check_output, data_dir, write_atomic
from edgevc.text import shortened

SUFFIX = ".voice"
MAX_VOICE_BYTES = 250_000
NAME_PATTERN = r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}"
"""Of a voice in the folder; without dots, which a file's ending has."""


def folder() -> Path | None:
    """Return where voices lie that may be called by their name, XDG_DATA_HOME/edgevc/voices; None without a home."""
    base = data_dir()
    return None if base is None else base / "voices"


def installed() -> dict[str, Path]:
    """Name to file of the voices in the folder."""
    where = folder()
    if where is None or not where.is_dir():
        return {}
    return {path.stem: path for path in sorted(where.glob(f"*{SUFFIX}"))}


def is_voice_file(which: str) -> bool:
    """Return whether a person means a file, not a name."""
    return which.endswith((SUFFIX, SUFFIX + ".age"))


def path_of(which: str) -> Path | None:
    """Return the file that a person means by a path or by the name of a voice in the folder; None: there is none."""
    return Path(which) if is_voice_file(which) else installed().get(which)


def open_voice(path: str | os.PathLike[str]) -> ModelBundle:
    """Read and check a voice's file.

    Raises:
        ModelError: it is missing, damaged, too large, or no voice.
    """
    where = Path(path)
    if not where.is_file():
        raise ModelError(f"there is no voice {where}; `edgevc voices` lists those in your folder")
    # an encrypted file is a little longer than what is in it
    if where.stat().st_size > 2 * MAX_VOICE_BYTES:
        raise ModelError(f"{where}: a voice has at most {MAX_VOICE_BYTES} bytes, got {where.stat().st_size}")
    bundle = ModelBundle.open(where)
    bundle.require_kind("voice")
    if len(bundle.voices) != 1:
        raise ModelError(f"{where}: a voice's file holds one voice, got {len(bundle.voices)}; name another file")
    return bundle


def load_voice(path: str | os.PathLike[str], model: ModelBundle) -> Voice:
    """Return the voice in a file, to be spoken by `model`.

    Raises:
        ModelError: see `open_voice`; or it was made for another model.
    """
    bundle = open_voice(path)
    require_base(bundle, model)
    return bundle.voice(bundle.voices[0].name)


def require_base(bundle: ModelBundle, model: ModelBundle) -> None:
    """Return if a voice was made for this model.

    Raises:
        ModelError: it was made for another one.
    """
    base = bundle.model
    if base is None:
        raise ModelError(f"{bundle.path} names no model that it was made for; make it again")
    name, version, sha256 = model.name, model.version, model.graphs_sha256
    same = base.graphs_sha256 == sha256 if base.graphs_sha256 else (base.name, base.version) == (name, version)
    if not same or base.width != model.graphs["decoder"].inputs[2].shape[1]:
        theirs = f" (graphs {base.graphs_sha256[:8]})" if base.graphs_sha256 else ""
        raise ModelError(
            f"the voice {bundle.voices[0].name} was made for the model {base.name} {base.version}{theirs}, not for "
            f"{name} {version} (graphs {sha256[:8]}); choose that model with --bundle, or make the voice again"
        )


def find_voice(which: str, model: ModelBundle) -> Voice:
    """Return a voice of the model, of the folder or of a file, in this order, or a mixture by its name `pseudo-KEY`.

    Args:
        which: a name, or a path that ends in .voice.
        model: will speak it.

    Raises:
        ModelError: there is none of that name, or it does not fit the model.
    """
    if not is_voice_file(which) and which in {spec.name for spec in model.voices}:
        return model.voice(which)
    path = path_of(which)
    if path is not None:
        return load_voice(path, model)
    if is_pseudo(which):
        return model.voice(which)
    own = sorted(set(installed()) - {spec.name for spec in model.voices})
    known = ", ".join(spec.name for spec in model.voices)
    raise ModelError(
        f"bundle {model.name} has no voice {shortened(which)}; known: {known}"
        + (f"; your own: {', '.join(own)}" if own else "")
    )


def installed_path(name: str) -> Path:
    """Return the file of a voice in the folder.

    Raises:
        ModelError: there is none of that name.
    """
    found = installed()
    if name not in found:
        raise ModelError(f"there is no voice {shortened(name)} in {folder()}; known: {', '.join(found) or 'none'}")
    return found[name]


def require_name(name: str) -> None:
    """Return if a voice may be called so.

    Raises:
        ConfigError: it may not.
    """
    if not re.fullmatch(NAME_PATTERN, name):
        raise ConfigError(f"a voice's name is of 1 to 64 letters, digits, dashes or underscores, got {shortened(name)}")


def install(path: str | os.PathLike[str], name: str, model: ModelBundle, *, overwrite: bool = False) -> Path:
    """Copy a voice's file into the folder; return where it lies.

    Args:
        path: of the file.
        name: to be called by.
        model: whose voices' names are taken.
        overwrite: replace a voice of that name.

    Raises:
        ConfigError: the name is taken by a voice of the model, or is none; or there is no home.
        ModelError: the file is damaged.
        OutputError: there is a voice of that name, or it cannot be written.
    """
    require_name(name)
    if name in {spec.name for spec in model.voices}:
        raise ConfigError(f"the model {model.name} has a voice {name!r} itself; choose another --name")
    where = folder()
    if where is None:
        raise ConfigError("there is no home folder for voices; set XDG_DATA_HOME, or give the file's path as --voice")
    bundle = open_voice(path)
    target = where / f"{name}{SUFFIX}"
    try:
        where.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot make the folder {where}: {error.strerror}; set XDG_DATA_HOME") from error
    check_output(target, overwrite=overwrite)
    # what was checked is what is written
    write_atomic(target, Path(bundle.path).read_bytes())
    return target
