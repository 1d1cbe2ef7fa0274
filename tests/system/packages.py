"""Debian packages as folders: fetched by apt-get with a configuration of its own, unpacked without being installed.

The package sources are the system's, read for i386 as well; nothing outside of the cache folder is changed.
"""

import fcntl
import os
import pathlib
import shutil
import subprocess
import time

SYSTEM_APT = pathlib.Path("/etc/apt")
ATTEMPTS = 4


class PackageError(Exception):
    """Says what could not be fetched."""


class Packages:
    def __init__(self, cache):
        self.root = pathlib.Path(cache).resolve() / "packages"
        self.root.mkdir(parents=True, exist_ok=True)
        self._options = None

    def tree(self, package):
        """The folder with the content of `package`, fetched if it is not there yet.

        `package` is "NAME:ARCHITECTURE", or "NAME" if it is the same for all architectures.
        """
        folder = self.root / "trees" / package.replace(":", "_")
        if folder.exists():
            return folder
        with self._lock():
            if not folder.exists():
                archive = self._download(package)
                unpacked = folder.with_name(folder.name + ".partial")
                shutil.rmtree(unpacked, ignore_errors=True)
                unpacked.mkdir(parents=True)
                subprocess.run(["dpkg-deb", "--extract", archive, unpacked], check=True)
                unpacked.rename(folder)
        return folder

    def dependency(self, package):
        """The first package that `package`, a metapackage, depends on, as "NAME:ARCHITECTURE"."""
        remembered = self.root / "trees" / (package.replace(":", "_") + ".depends")
        if not remembered.exists():
            with self._lock():
                self._ensure_index()
                listing = self._apt("apt-cache", "depends", package).stdout
                names = [line.split()[-1] for line in listing.splitlines() if line.strip().startswith("Depends:")]
                if not names:
                    raise PackageError(f"package {package} is not in the package index or depends on nothing")
                name = names[0].split(":")[0]
                remembered.parent.mkdir(parents=True, exist_ok=True)
                remembered.write_text(f"{name}:{package.split(':')[1]}\n")
        return remembered.read_text().strip()

    def _lock(self):
        handle = open(self.root / "lock", "w")
        fcntl.flock(handle, fcntl.LOCK_EX)
        return handle

    def _configure(self):
        """A private copy of the sources and of the settings that fetching needs (proxies), and private state."""
        if self._options is not None:
            return
        etc = self.root / "etc"
        shutil.rmtree(etc, ignore_errors=True)
        for folder in ("sources.list.d", "preferences.d", "apt.conf.d"):
            (etc / folder).mkdir(parents=True)
        for source in [SYSTEM_APT / "sources.list", *(SYSTEM_APT / "sources.list.d").glob("*")]:
            if source.is_file() and source.suffix in (".list", ".sources"):
                destination = etc if source.parent == SYSTEM_APT else etc / "sources.list.d"
                shutil.copy(source, destination)
        for setting in (SYSTEM_APT / "apt.conf.d").glob("*"):
            text = setting.read_text(errors="replace")
            if "Acquire::" in text and "Invoke" not in text:
                shutil.copy(setting, etc / "apt.conf.d")
        for folder in ("state/lists/partial", "cache/archives/partial", "archives"):
            (self.root / folder).mkdir(parents=True, exist_ok=True)
        (self.root / "state/status").touch()
        settings = {
            "Dir::Etc": etc,
            "Dir::Etc::TrustedParts": SYSTEM_APT / "trusted.gpg.d",
            "Dir::State": self.root / "state",
            "Dir::State::status": self.root / "state/status",
            "Dir::Cache": self.root / "cache",
            "APT::Architecture": "amd64",
            "APT::Architectures::": "i386",
            "APT::Sandbox::User": "root",
            "Acquire::Languages": "none",
            "Acquire::Retries": "3",
        }
        self._options = []
        for name, value in settings.items():
            self._options += ["-o", f"{name}={value}"]

    def _apt(self, program, *arguments, check=True, cwd=None):
        self._configure()
        environment = dict(os.environ, LC_ALL="C")
        environment.pop("APT_CONFIG", None)
        result = subprocess.run([program, *self._options, *arguments], capture_output=True, text=True,
                                env=environment, cwd=cwd)
        if check and result.returncode != 0:
            raise PackageError(f"{program} {' '.join(arguments)}: {result.stderr.strip()}")
        return result

    def _ensure_index(self, again=False):
        """Reads the package index. An update that fails for one of several sources still gives an index."""
        stamp = self.root / "index-read"
        if stamp.exists() and not again:
            self._configure()
            return
        for attempt in range(ATTEMPTS):
            update = self._apt("apt-get", "update", check=False)
            have_some = bool(self._apt("apt-cache", "pkgnames").stdout.strip())
            if update.returncode == 0 or (have_some and attempt > 0):
                break
            time.sleep(2 * attempt)
        if not have_some:
            raise PackageError(f"apt-get update found no packages: {update.stderr.strip()}")
        stamp.touch()

    def _download(self, package):
        name = package.split(":")[0]
        last_error = ""
        for attempt in range(ATTEMPTS):
            self._ensure_index(again=attempt > 0)
            for old in (self.root / "archives").glob(f"{name}_*.deb"):
                old.unlink()
            result = self._apt("apt-get", "download", package, check=False, cwd=self.root / "archives")
            found = list((self.root / "archives").glob(f"{name}_*.deb"))
            if result.returncode == 0 and len(found) == 1:
                return found[0]
            last_error = result.stderr.strip()
            time.sleep(2 * attempt)
        raise PackageError(f"cannot fetch package {package}: {last_error}")
