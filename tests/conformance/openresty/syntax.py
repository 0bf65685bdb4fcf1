"""Whether a script is Lua at all, by a LuaJIT that has nothing to do with the gateway.

A script that does not compile refuses the manifest; nginx finds it with the first request. A block that
wants such a server to run has no manifest.
"""
from __future__ import annotations

import ctypes
import ctypes.util
import functools
import glob
import os

from adapters.base import Untranslatable


@functools.cache
def luajit():
    """The library: the system's, or that of the reference server."""
    beside = glob.glob(os.environ.get("SUITES_REF", "/tmp/gws-ref") + "/usr/lib/*/libluajit-5.1.so.2")
    for name in [*beside, ctypes.util.find_library("luajit-5.1")]:
        try:
            library = ctypes.CDLL(name) if name else None
        except OSError:
            continue
        if library:
            library.luaL_newstate.restype = ctypes.c_void_p
            library.luaL_loadbuffer.argtypes = [
                ctypes.c_void_p, ctypes.c_char_p, ctypes.c_size_t, ctypes.c_char_p]
            library.lua_close.argtypes = [ctypes.c_void_p]
            return library
    return None


@functools.cache
def compiles(code: str) -> bool:
    library = luajit()
    if library is None:
        return True
    state = library.luaL_newstate()
    text = code.encode("latin-1", "replace")
    status = library.luaL_loadbuffer(state, text, len(text), b"=script")
    library.lua_close(state)
    return status == 0


def check(name, code):
    if not compiles(code):
        raise Untranslatable("a script that does not compile refuses the manifest")
