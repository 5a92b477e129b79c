"""Clones the data sets of tools/data/sources.toml at the commits that it names; 1.8 GB.

python tools/download_data.py --clones CLONES

A clone that is there is kept.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
from pathlib import Path

from vctrain.data.sources import SOURCES, Source
from vctrain.errors import UserError, one_line_errors


def clone(source: Source, folder: Path) -> None:
    """Fetch one commit of a repository into a folder that is whole or not there.

    Raises:
        UserError: git failed; it has said why.
    """
    part = folder.with_name(folder.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    git = ["git", "-C", str(part)]
    try:
        subprocess.run([*git, "init", "-q"], check=True)
        subprocess.run([*git, "fetch", "-q", "--depth", "1", source.url, source.revision], check=True)
        subprocess.run([*git, "update-ref", "--no-deref", "HEAD", "FETCH_HEAD"], check=True)
        if source.checkout:
            subprocess.run([*git, "reset", "-q", "--hard"], check=True)
    except (FileNotFoundError, subprocess.CalledProcessError) as error:
        raise UserError(f"could not clone {source.url} at {source.revision[:12]}: {error}") from error
    part.replace(folder)


@one_line_errors
def main() -> None:
    """Writes CLONES/OWNER+NAME."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clones", type=Path, required=True)
    args = parser.parse_args()
    for source in SOURCES:
        if not source.repository:
            continue
        folder = args.clones / source.clone
        if folder.exists():
            print(f"{source.repository} is there", flush=True)
            continue
        print(f"{source.repository}, {source.licence}", flush=True)
        clone(source, folder)


if __name__ == "__main__":
    main()
