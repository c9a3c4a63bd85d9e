"""numba's compiler for the loops over pixels and vertices, which the extra ``synthetic`` brings."""

from poseact.errors import UserError

try:
    from numba import njit
except ImportError as error:
    raise UserError(
        "synthetic people: expected the package numba, found none; pip install 'poseact[synthetic]'"
    ) from error

__all__ = ["njit"]
