"""Builds the engine's environment: what is done, in this order, and what each step leaves behind.

Everything grows in a folder beside the environment and takes its place when it has passed its test. So an environment
that works stays until a better one is there, and what a stopped installation has downloaded is there for the next.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Callable

from rs_textseg_plugin.contract.errors import EngineError, EngineUnavailable, TextSegError
from rs_textseg_plugin.contract.folders import PACKAGE_FOLDER
from rs_textseg_plugin.runtime.child_environment import bundle_folder, child_environment, worker_environment
from rs_textseg_plugin.runtime.environment import interpreter_in
from rs_textseg_plugin.runtime.install.child_run import ChildRun
from rs_textseg_plugin.runtime.install.lock import Lock, Target, read_lock
from rs_textseg_plugin.runtime.install.machine import Machine, this_machine, why_impossible
from rs_textseg_plugin.runtime.install.marker import Marker
from rs_textseg_plugin.runtime.install.pythons import BasePython, find_pythons
from rs_textseg_plugin.runtime.install.sources import PackageSources, user_sources
from rs_textseg_plugin.runtime.install.tool import UV, Tool, tool_variables, uv_at_hand
from rs_textseg_plugin.runtime.install.torch_build import TorchBuild, choose_build
from rs_textseg_plugin.runtime.install.turn import Turn
from rs_textseg_plugin.runtime.start_failures import why_not_started

# Bytes on disk for each byte of a wheel: uv keeps what it unpacked beside the environment until the end. Of 0.40 GB of
# wheels (CPU, Linux) came 2.65 GB.
_ON_DISK = 6.7
_PATIENCE_S = 10.0
_LOG_LINES = 12
_LEAST_FREE_BYTES = 20_000_000
# What the system says of no room, no quota, and no longer file than this.
_FULL_DISK = ("No space left", "os error 28", "Errno 28", "Disk quota exceeded", "File too large")
_SELF_TEST = ("-X", "utf8", "-E", "-s", "-m", "rs_textseg_plugin.engine", "self-test")


@dataclass(frozen=True)
class InstallPlan:
    """What will be done.

    Attributes:
        folder: of the environment.
        machine: this computer.
        lock: the packages.
        base: the Python that the environment is made from.
        build: of torch.
        sources: where packages come from.
        download_bytes: size of all packages. Nobody tells that of PyTorch's CPU build for Linux: it is counted as the
            public one, which is larger.
        self_test: arguments for the environment's Python that tell whether the engine works in it; the last line that
            it writes says on what.
        silence_s: for how long a program may neither say anything nor write anything.
    """

    folder: Path
    machine: Machine
    lock: Lock
    base: BasePython
    build: TorchBuild
    sources: PackageSources
    download_bytes: int
    self_test: tuple[str, ...] = _SELF_TEST
    silence_s: float = 180.0

    @property
    def disk_bytes(self) -> int:
        """What must be free: the packages, and what comes out of them."""
        return round(self.download_bytes * _ON_DISK)

    @property
    def growing(self) -> Path:
        """The folder in which everything grows."""
        return self.folder.with_name(f"{self.folder.name}.growing")

    @property
    def torch(self) -> str:
        """Version of torch with its build."""
        version = self.lock.torch["torch"]
        return f"{version}+{self.build.name}" if self.build.name else version


@dataclass(frozen=True)
class InstallProgress:
    """How far an installation is.

    Attributes:
        stage: what is being done, in words.
        bytes_done: on disk so far.
        bytes_total: expected in the end.
        bytes_per_s: over the last seconds.
    """

    stage: str
    bytes_done: int = 0
    bytes_total: int = 0
    bytes_per_s: float = 0.0


def plan_installation(folder: Path, device: str = "auto", wheels: Path | None = None) -> InstallPlan:
    """Find out what an installation would do; nothing is contacted.

    Args:
        folder: of the environment, existing or not.
        device: ``auto``, ``cpu`` or ``cuda``.
        wheels: a folder with all packages, for an installation without a network.

    Raises:
        TextSegError: it cannot be done on this computer.
    """
    machine = this_machine()
    impossible = why_impossible(machine)
    if impossible:
        raise EngineUnavailable(impossible)
    if wheels is not None and not wheels.is_dir():
        raise EngineUnavailable(f"There is no folder {str(wheels)!r}: name the one that holds the wheels.")
    lock, build = read_lock(), choose_build(machine, device)
    pythons = find_pythons(lock.pythons, machine)
    if not pythons:
        versions = ", ".join(f"{major}.{minor}" for major, minor in lock.pythons)
        raise EngineUnavailable(
            f"No Python was found that the engine can be made from (one of {versions}, for {machine.processor}): "
            "install one from python.org or with the system's packages, and try again."
        )
    sources = user_sources(os.environ) if wheels is None else PackageSources.from_folder(wheels)
    base = pythons[0]
    target = Target(base.version, machine.system, machine.processor, machine.libc, machine.system_version)
    return InstallPlan(folder, machine, lock, base, build, sources, lock.download_bytes(target) + build.more_bytes)


def install(plan: InstallPlan, report: Callable[[InstallProgress], None], should_stop: Callable[[], bool]) -> Marker:
    """Build the environment, test it, and put it in place of the one that is there.

    Args:
        plan: what to do.
        report: told how far it is, from this thread.
        should_stop: asked often whether the user has given up.

    Raises:
        Cancelled: the user gave up.
        TextSegError: it did not work; an environment that was there is as it was.
    """
    try:
        plan.folder.parent.mkdir(parents=True, exist_ok=True)
        with Turn(plan.folder.with_name(f"{plan.folder.name}.lock")):
            return _install(plan, report, should_stop)
    except OSError as error:
        raise EngineError(
            f"The engine cannot be installed in {plan.folder} ({error.strerror or error}): free space there, look at "
            "its permissions, or choose another folder."
        ) from error


def _install(plan: InstallPlan, report: Callable[[InstallProgress], None], should_stop: Callable[[], bool]) -> Marker:
    _require_room(plan)
    steps = _Steps(plan, report, should_stop)
    steps.prepare()
    steps.make_environment()
    steps.install_torch()
    steps.install_packages()
    device = steps.test()
    marker = _marker(plan, device)
    marker.write(steps.environment)
    _replace(steps.environment, plan.folder)
    remove_folder(plan.growing)
    return marker


class _Steps:
    """The steps of an installation, each of which leaves what the next one needs."""

    def __init__(
        self, plan: InstallPlan, report: Callable[[InstallProgress], None], should_stop: Callable[[], bool]
    ) -> None:
        self._plan, self._report, self._should_stop = plan, report, should_stop
        self.environment = plan.growing / "environment"
        self._scratch, self._cache = plan.growing / "temporary", plan.growing / "cache"
        self._stage, self._seen = "", [(time.monotonic(), 0)]

    def prepare(self) -> None:
        """Make the folders, and get the tool."""
        for folder in (self._scratch, self._cache):
            folder.mkdir(parents=True, exist_ok=True)
        inherited = child_environment(os.environ, bundle_folder(sys.executable, os.environ))
        kept = {name: value for name, value in inherited.items() if not name.startswith(("PIP_", "UV_"))}
        variables = {**kept, **tool_variables(self._plan.sources)}
        self._child = self._runs(variables, self._plan.growing, self._grown)
        self._tool = Tool(uv_at_hand(kept.get("PATH", "")), self._cache)
        if not self._tool.uv:
            self._fetch_uv()

    def make_environment(self) -> None:
        """Make an empty environment, unless the one that a stopped installation left is of the same kind."""
        self._begin("Making the environment")
        wanted = json.dumps([str(self._plan.base.path), self._plan.lock.digest, self._plan.torch])
        note = self._plan.growing / "kind.json"
        if note.is_file() and note.read_text(encoding="utf-8") == wanted and interpreter_in(self.environment).exists():
            return
        remove_folder(self.environment)
        self._require(
            self._tool.make(self._plan.base.path, self.environment),
            f"No environment could be made with {self._plan.base.path}. On Debian and Ubuntu install the package "
            "python3-venv",
        )
        note.write_text(wanted, encoding="utf-8")

    def install_torch(self) -> None:
        """Install torch and torchvision: the user's own sources first, then PyTorch's index, then the public one."""
        self._begin("Downloading PyTorch")
        for name, version in self._plan.lock.torch.items():
            self._install_first(name, version)

    def _install_first(self, name: str, version: str) -> None:
        """Install a package of PyTorch's from the first source that has it."""
        build, own = self._plan.build, self._plan.sources
        attempts = [(f"{name}=={version}+{build.name}", own)] if build.name else []
        if build.name and not own.only_folders:
            attempts.append((f"{name}=={version}+{build.name}", replace(own, index=build.index, more_indexes=())))
        if not build.name or name != "torch" or own.only_folders:
            attempts.append((f"{name}=={version}", own))
        for wanted, sources in attempts:
            if self._child.run(self._tool.install(self.environment, [wanted], sources)) == 0:
                return
        where = f"{build.index} or the packages' index" if build.name else "the packages' index"
        raise self._failed(
            f"{name} {version} could not be installed from {where}. Where that address cannot be reached, put the "
            "wheels into a folder and name it with --wheels"
        )

    def install_packages(self) -> None:
        """Install the lock's packages, each with its digest, and what CUDA needs on Linux."""
        self._begin("Downloading the other packages")
        hashed = ["--require-hashes", "-r", str(self._plan.lock.requirements)]
        self._require(
            self._tool.install(self.environment, hashed, self._plan.sources),
            "The packages could not be installed. Look at the network and at the settings of pip",
        )
        if self._plan.machine.system == "linux" and self._plan.build.name.startswith("cu"):
            self._require(
                self._tool.install(self.environment, [f"torch=={self._plan.torch}"], self._plan.sources, alone=False),
                "NVIDIA's libraries could not be installed. Look at the network, or install for the device cpu",
            )

    def test(self) -> str:
        """Let the engine import its packages, compute and segment; return what it computed on."""
        self._begin("Testing the engine")
        python = str(interpreter_in(self.environment))
        test = self._runs(worker_environment(os.environ), PACKAGE_FOLDER.parent, lambda _: None)
        code = test.run([python, *self._plan.self_test])
        if code:
            raise EngineError(why_not_started(str(test.log), code, python, f"exit code {code}"))
        return str(test.log).splitlines()[-1]

    def _fetch_uv(self) -> None:
        """Fetch uv into a small environment of its own; without it venv and pip do."""
        self._begin("Looking for the installer")
        small, sources = Tool((), self._cache), self._plan.sources
        tools = self._plan.growing / "tools"
        uv = interpreter_in(tools).with_name("uv.exe" if sys.platform == "win32" else "uv")
        can_fetch = not uv.is_file() and self._plan.base.has_venv and sources.may_have("uv")
        if can_fetch and self._child.run(small.make(self._plan.base.path, tools)) == 0:
            self._child.run(small.install(tools, [UV], sources))
        self._tool = Tool((str(uv),) if uv.is_file() else (), self._cache)

    def _runs(self, variables: Mapping[str, str], cwd: Path, grown: Callable[[int], None]) -> ChildRun:
        plan = self._plan
        return ChildRun(variables, cwd, plan.growing, self._scratch, grown, self._should_stop, plan.silence_s)

    def _begin(self, stage: str) -> None:
        self._stage = stage
        self._report(InstallProgress(stage, self._seen[-1][1], self._plan.disk_bytes))

    def _grown(self, size: int) -> None:
        now_s = time.monotonic()
        self._seen = [*self._seen[-9:], (now_s, size)]
        first_s, first = self._seen[0]
        rate = max(0.0, (size - first) / (now_s - first_s)) if now_s > first_s else 0.0
        self._report(InstallProgress(self._stage, size, self._plan.disk_bytes, rate))

    def _require(self, command: Sequence[str], what: str) -> None:
        if self._child.run(command):
            raise self._failed(what)

    def _failed(self, what: str) -> TextSegError:
        words = "\n".join(str(self._child.log).splitlines()[-_LOG_LINES:])
        is_full = shutil.disk_usage(self._plan.growing).free < _LEAST_FREE_BYTES  # not every program says so
        if is_full or any(sign in words for sign in _FULL_DISK):
            what = f"The disk is full ({self._plan.growing}): free some space there"
        return EngineError(f"{what}, and try again.\n{words}")


def _require_room(plan: InstallPlan) -> None:
    free = shutil.disk_usage(plan.folder.parent).free
    if free < plan.disk_bytes:
        raise EngineError(
            f"The engine needs {plan.disk_bytes / 1e9:.1f} GB on the disk of {plan.folder.parent}, which has "
            f"{free / 1e9:.1f} GB free: free some space, or choose a folder on another disk."
        )


def _marker(plan: InstallPlan, device: str) -> Marker:
    major, minor = plan.base.version
    base, processor = str(plan.base.path), plan.machine.processor
    return Marker(plan.lock.digest, f"{major}.{minor}", processor, base, plan.torch, device)


def _replace(new: Path, place: Path) -> None:
    """Put a folder in the place of another, which is removed afterwards; scanners may hold either for a while."""
    old = place.with_name(f"{place.name}.old")
    remove_folder(old)
    if place.exists():
        _rename(place, old)
    _rename(new, place)
    remove_folder(old)


def _rename(source: Path, target: Path) -> None:
    _patiently(lambda: source.rename(target))


def remove_folder(folder: Path) -> None:
    """Remove a folder with all that it holds; where it is not there, nothing happens.

    Raises:
        OSError: something of it is held by another program.
    """
    if os.path.lexists(folder):
        _patiently(lambda: shutil.rmtree(folder))


def _patiently(action: Callable[[], object]) -> None:
    """Do something to a folder, again and again where a virus scanner holds it.

    Raises:
        OSError: it stays like that.
    """
    end_s = time.monotonic() + _PATIENCE_S
    while True:
        try:
            action()
            return
        except OSError:
            if time.monotonic() > end_s:
                raise
        time.sleep(_PATIENCE_S / 50)
