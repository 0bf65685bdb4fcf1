"""The gateway under test: a block's nginx configuration becomes a manifest and its scripts.

    plan (neutral)  ->  manifest, route, directives : a document  ->  written : pilotlight.toml

    GATEWAY_BIN      the program; started as   GATEWAY_BIN ARGS...
    GATEWAY_ARGS     default: "run {config}"
    GATEWAY_NGINX_VERSION, GATEWAY_OPENSSL_VERSION, GATEWAY_PCRE
                     what it claims where a block asks (1.29.2, 3.0.19, 2)
    GATEWAY_BACKENDS reference: extra servers of a block that only answer are played by nginx
    GATEWAY_SCHEMA   off: a key that the gateway does not know is written all the same

A key with a meaning that the gateway's own schema (`pilotlight schema`) does not have makes the block
untranslatable, so a run tells what a manifest can express today.
"""
from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))

from adapters.base import Adapter, Ctx, StartFailed, Untranslatable, end_pid  # noqa: E402
import keys  # noqa: E402
import ngxconf as N  # noqa: E402
import suite as S  # noqa: E402
import written  # noqa: E402
from manifest import Manifest  # noqa: E402
from nginxlog import Pump  # noqa: E402
from plan import asts, classify, lua_texts, quote, translate, unparse  # noqa: E402,F401


class Gateway(Adapter):
    name = "pilotlight"

    def __init__(self):
        self.bin = os.environ.get("GATEWAY_BIN")
        self.args = os.environ.get("GATEWAY_ARGS", "run {config}")
        self.nginx_version = os.environ.get("GATEWAY_NGINX_VERSION", "1.29.2")
        self.openssl_version = os.environ.get("GATEWAY_OPENSSL_VERSION", "3.0.19")
        self.pcre = int(os.environ.get("GATEWAY_PCRE", "2"))
        self.backends = os.environ.get("GATEWAY_BACKENDS", "reference")
        self.schema = self.side = None

    def services(self):
        from adapters.nginx import Nginx
        try:
            return Nginx().services()
        except SystemExit:
            return {}

    def env(self):
        # preambles ask `nginx -V`; a script answers with the claimed version
        path = "/tmp/gws/fake-nginx-V"
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w") as f:
            f.write("#!/bin/sh\necho 'nginx version: nginx/%s' >&2\n"
                    "echo 'built with OpenSSL %s' >&2\n"
                    "echo 'configure arguments: --with-debug' >&2\n"
                    % (self.nginx_version, self.openssl_version))
        os.chmod(path, 0o755)
        return {"TEST_NGINX_BINARY": path}

    # ----------------------------------------------------- the configuration

    def render(self, ctx):
        self.fresh_root(ctx)
        self._write(ctx)

    def _write(self, ctx):
        # files first: an `include` may name one of them
        self.write_user_files(ctx, S.user_files(ctx.block, ctx.env, ctx.ports))
        plan, translator = translate(ctx, self.backends == "reference")
        ctx.config = self.emit(ctx, plan)
        ctx.backends = translator.backends
        ctx.http_text = translator.text["http_config"]
        ctx.level, ctx.env_set = plan.log_level, dict(e.split("=", 1) for e in plan.env if "=" in e)

    def emit(self, ctx, plan):
        """Writes the manifest and its scripts; its path."""
        lua = "\n".join(lua_texts(ctx.block, asts(ctx.block)))
        manifest = Manifest(ctx, plan, lua, f"nginx/{self.nginx_version}")
        document = manifest.fill()
        self.prune(document)
        folder = os.path.join(ctx.root, "conf")
        ctx.init = {os.path.realpath(os.path.join(folder, f["openresty"]["init"]))
                    for f in document["filters"].values() if "init" in f.get("openresty", {})}
        path = os.path.join(ctx.root, "conf", "pilotlight.toml")
        with open(path, "w", encoding="utf-8") as f:
            f.write(written.toml(document) + manifest.twice)
        return path

    def prune(self, document):
        if os.environ.get("GATEWAY_SCHEMA") == "off":
            return
        if not self.bin:
            raise Untranslatable("no gateway (GATEWAY_BIN is not set)")
        if self.schema is None:
            out = subprocess.run([self.bin, "schema"], stdout=subprocess.PIPE, check=True, timeout=20)
            self.schema = json.loads(out.stdout)
        missing = {k for k in written.prune(document, self.schema) if k[-1] not in keys.OPTIONAL}
        if missing:
            names = sorted(".".join(k) for k in missing)
            raise Untranslatable("no key " + ", ".join(names))

    # ------------------------------------------------------------ the process

    def start(self, ctx, limit=10):
        cmd = [self.bin, *shlex.split(self.args.format(config=ctx.config, root=ctx.root, port=ctx.port))]
        if ctx.backends:
            self._start_backends(ctx)
        env = {"PATH": os.environ.get("PATH", "/usr/bin:/bin"), "LC_ALL": "C",
               **{k: v for k, v in ctx.env.items() if k.startswith("TEST_NGINX_")}, **ctx.env_set}
        p = subprocess.Popen(cmd, cwd=ctx.workdir, stdin=subprocess.DEVNULL, env=env,
                             stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        ctx.proc, ctx.pid = p, p.pid
        ctx.pump = Pump(p.stderr, ctx.error_log, ctx.level, p.pid, ctx.init)
        end = time.monotonic() + limit
        while time.monotonic() < end:
            if p.poll() is not None:
                self._over(ctx)
                raise StartFailed(p.returncode, "".join(ctx.pump.tail)[-600:])
            try:
                socket.create_connection(("127.0.0.1", ctx.port), 0.5).close()
                return
            except OSError:
                time.sleep(0.01)
        p.kill()
        p.wait()
        self._over(ctx)
        raise StartFailed(-9, "the gateway did not listen in time")

    def _over(self, ctx):
        ctx.pid = None
        ctx.pump.join(2)
        if self.side:
            self.side[0].stop(self.side[1])
            self.side = None

    def stop(self, ctx, graceful=False):
        p, clean = getattr(ctx, "proc", None), True
        if p is not None:
            if p.poll() is None:
                clean = end_pid(p.pid)         # SIGTERM drains, and runs what stands for the end
            try:
                p.wait(0.1)
            except subprocess.TimeoutExpired:
                pass
            self._over(ctx)
        ctx.pid = None
        return clean

    def reload(self, ctx):
        """New files under the same process, until it answers with the new version."""
        shutil.rmtree(os.path.join(ctx.root, "conf"), ignore_errors=True)
        os.makedirs(os.path.join(ctx.root, "conf"))
        self._write(ctx)
        os.kill(ctx.pid, signal.SIGHUP)
        if ctx.block.has("reload_fails"):
            time.sleep(0.4)
            return
        end = time.monotonic() + 10
        while time.monotonic() < end:
            if self._version(ctx).endswith(b"\r\n\r\n" + ctx.hup_version.encode()):
                return
            time.sleep(0.03)
        raise StartFailed(-1, "the reload was not seen")

    @staticmethod
    def _version(ctx):
        try:
            with socket.create_connection(("127.0.0.1", ctx.port), 2) as s:
                s.sendall(b"GET /ver HTTP/1.0\r\nHost: Test-Nginx\r\n\r\n")
                return b"".join(iter(lambda: s.recv(4096), b""))
        except OSError:
            return b""

    # ------------------------------------------------- backends of the block

    def _start_backends(self, ctx):
        """The block's plain backends, on the reference nginx."""
        from adapters.nginx import Nginx
        import copy
        ref = Nginx()
        b = copy.copy(ctx.block)
        b.sections = dict(ctx.block.sections)
        common = "\n".join(unparse(n) for n in N.parse(ctx.http_text)
                           if n.name in ("lua_package_path", "lua_package_cpath", "lua_shared_dict",
                                         "upstream"))
        b.sections["http_config"] = common + "\n" + "\n".join(map(unparse, ctx.backends))
        b.sections["config"] = ""
        b.sections.pop("main_config", None)
        b.settings = dict(ctx.block.settings, no_root_location=1)
        root = os.path.join(ctx.workdir, "t", "backroot")
        side = Ctx(ctx.workdir, root, 19840, b, ctx.env, ctx.ports)
        ref.fresh_root(side)
        # one html folder for both: relative and absolute names lead to it
        shutil.rmtree(os.path.join(root, "html"))
        os.symlink(ctx.html, os.path.join(root, "html"))
        with open(os.path.join(root, "conf", "nginx.conf"), "wb") as f:
            f.write(ref.config_text(side).encode("latin-1", "replace"))
        try:
            ref.start(side)
        except StartFailed as e:
            raise RuntimeError(f"backend on the reference: {e.text[-200:]}")
        self.side = (ref, side)


ADAPTER = Gateway
