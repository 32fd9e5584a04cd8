"""What a machine offers: GPU, driver, CUDA's libraries and tools, a Python with torch; and the
library path with which paceline's programs run there. Nothing here is changed, only found."""

import glob
import json
import os
import pathlib
import platform
import re
import shutil
import sys
import tarfile

from paced import last_line, run

NEEDED = ["libcudnn.so.9", "libcublasLt.so"]  # the second one's number is the toolkit's


def site_folders(python):
    """Where a Python has its packages."""
    code = (
        "import json, site, sys, sysconfig\n"
        "folders = [*site.getsitepackages(), site.getusersitepackages(), *sysconfig.get_paths().values()]\n"
        "print(json.dumps([f for f in [*folders, *sys.path] if f.endswith('-packages')]))"
    )
    exit_code, output, _ = run([python, "-c", code], 20)
    try:
        return list(dict.fromkeys(json.loads(last_line(output)))) if exit_code == 0 else []
    except ValueError:
        return []


def pythons(given=None):
    """Interpreters to ask, the likeliest first."""
    names = [given] if given else [sys.executable, shutil.which("python3"), "/usr/bin/python3"]
    return [name for name in dict.fromkeys(names) if name]


def has_torch(python):
    """@return torch's facts, or None and why"""
    code = "import json, torch; print(json.dumps({'version': torch.__version__, 'cuda': torch.version.cuda}))"
    exit_code, output, errors = run([python, "-c", code], 60)
    if exit_code != 0:
        return None, f"{python}: {last_line(errors)}"
    return json.loads(last_line(output)), ""


def loader_folders(found_pythons):
    """Folders with CUDA's libraries: the loader's own path, wheels, toolkits."""
    folders = [f for f in os.environ.get("LD_LIBRARY_PATH", "").split(":") if f]
    for python in found_pythons:
        for site in site_folders(python):
            folders += sorted(glob.glob(f"{site}/nvidia/*/lib"), reverse=True)
    toolkits = [os.environ.get("CUDA_HOME"), os.environ.get("CUDA_PATH"), "/usr/local/cuda"]
    toolkits += sorted(glob.glob("/usr/local/cuda-*"), reverse=True)
    for toolkit in filter(None, toolkits):
        folders += [f"{toolkit}/lib64", f"{toolkit}/lib", f"{toolkit}/targets/x86_64-linux/lib"]
    folders += ["/usr/local/nvidia/lib64", "/usr/lib/x86_64-linux-gnu", "/usr/lib64"]
    return [f for f in dict.fromkeys(os.path.realpath(f) for f in folders) if os.path.isdir(f)]


def providers(folders, needed):
    """Which folder has each library: the first one. @return {library: folder or None}"""
    found = {}
    for library in needed:
        found[library] = next((f for f in folders if glob.glob(f"{f}/{library}*")), None)
    return found


def tool(name, found_pythons):
    """A program of the CUDA toolkit, wherever it lies, or None."""
    places = [shutil.which(name), f"/usr/local/cuda/bin/{name}"]
    places += sorted(glob.glob(f"/usr/local/cuda-*/bin/{name}"), reverse=True)
    places += glob.glob(f"/usr/local/cuda*/compute-sanitizer/{name}")
    for python in found_pythons:
        for site in site_folders(python):
            places += glob.glob(f"{site}/nvidia/**/{name}", recursive=True)
    return next((p for p in places if p and os.access(p, os.X_OK) and os.path.isfile(p)), None)


def gpu():
    """@return facts of the first GPU and of all, or None and why there is none"""
    query = "name,driver_version,memory.total,compute_cap,clocks.max.sm,power.limit,mig.mode.current"
    query += ",utilization.gpu"
    smi = shutil.which("nvidia-smi") or next(
        (p for p in ("/usr/bin/nvidia-smi", "/usr/local/nvidia/bin/nvidia-smi") if os.path.exists(p)), None)  # fmt: skip
    devices = sorted(glob.glob("/dev/nvidia[0-9]*"))
    if smi is None:
        if devices:
            return {"name": "unknown: no nvidia-smi", "devices": devices}, ""
        return None, "no nvidia-smi and no /dev/nvidia0"
    exit_code, output, errors = run([smi, f"--query-gpu={query}", "--format=csv,noheader"], 20)
    if exit_code != 0 or not output.strip():
        if devices:
            return {"name": f"unknown: {last_line(errors or output)}", "devices": devices}, ""
        return None, f"nvidia-smi: {last_line(errors or output)}"
    rows = [[cell.strip() for cell in line.split(",")] for line in output.splitlines() if line.strip()]
    facts = dict(zip(query.split(","), rows[0]))
    facts["count"] = len(rows)
    return facts, ""


def labelled_tests(build):
    """The programs of CTest's label gpu. @return those that are built, and names of those that are not"""
    _, output, _ = run(["ctest", "--test-dir", build, "--show-only=json-v1", "-L", "^gpu$"], 60)
    listing = json.loads(output) if output.startswith("{") else {}
    found, missing = set(), set()
    for test in listing.get("tests", []):
        program = pathlib.Path(test.get("command", [""])[0])
        if program.is_file():
            found.add(program)
        else:
            missing.add(test["name"].removesuffix("_NOT_BUILT"))
    return sorted(found), sorted(missing)


class Bundle:
    """The programs: of a folder of tools/gpu_bundle, or of a build folder."""

    def __init__(self, folder, unpack_to):
        self.folder = pathlib.Path(folder).resolve()
        self.manifest, self.root = {}, self.folder
        if (self.folder / "manifest.json").exists():
            self.manifest = json.loads((self.folder / "manifest.json").read_text())
        if (self.folder / "programs.tar.gz").exists():
            self.root = pathlib.Path(unpack_to)
            with tarfile.open(self.folder / "programs.tar.gz") as archive:
                archive.extractall(self.root)
        self.bin, self.paceline = self.root / "bin", self.root / "bin/paceline"

    def tests(self):
        """The GPU's test programs, by name."""
        if "tests" in self.manifest:
            found = [self.bin / name for name in self.manifest["tests"]]
        else:
            found = labelled_tests(self.folder)[0] or sorted(self.bin.glob("*gpu_test"))
        return {p.name: p for p in found if os.access(p, os.X_OK)}

    def loader_path(self, cuda_folders):
        """CUDA's folders behind our own; our C++ library only where the machine's is older than we need."""
        folders = [self.root / "lib", *cuda_folders]
        path = ":".join(str(f) for f in folders if os.path.isdir(f))
        environment = {**os.environ, "LD_LIBRARY_PATH": path}
        exit_code, _, errors = run([self.paceline, "--version"], 20, environment)
        older = self.root / "lib/older"
        if exit_code != 0 and older.is_dir() and re.search(r"GLIBCXX|GCC_|libstdc|libgcc", errors):
            path = f"{older}:{path}"
        return path


def machine():
    """Of processor and system."""
    try:
        with open("/proc/cpuinfo") as file:
            model = re.search(r"model name\s*: (.*)", file.read())
    except OSError:
        model = None
    return {"cpu": model[1] if model else platform.machine(), "cores": len(os.sched_getaffinity(0)),
            "kernel": platform.release(), "libc": "-".join(platform.libc_ver()),
            "python": platform.python_version()}  # fmt: skip
