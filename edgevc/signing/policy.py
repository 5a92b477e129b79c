"""Whether this process opens models that nobody whom it trusts has signed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgevc.errors import ModelError

if TYPE_CHECKING:
    from edgevc.signing.trusted import Signer

_required = False


def require_signatures(required: bool = True) -> None:
    """Let every model that is opened from now on be refused unless a trusted key has signed it, or no longer.

    It holds for the whole process, so that no part of it can forget to ask.
    """
    global _required
    _required = required


def signatures_required() -> bool:
    """Return whether unsigned models are refused."""
    return _required


def check_signer(signer: Signer | None, what: str) -> None:
    """Refuse what is not signed by a trusted key, where that is required.

    Args:
        signer: of `signer_of`; None: there is no signature.
        what: what messages call it.

    Raises:
        ModelError: a signature is required, and there is none that counts.
    """
    if not _required or (signer is not None and signer.trusted):
        return
    found = "not signed" if signer is None else f"signed by key {signer.key_name}, which is not trusted here"
    raise ModelError(
        f"{what} is {found}, and require_signature asks for a trusted signature; trust its maker's key with `edgevc "
        "trust add KEY.pub`, or choose another model"
    )
