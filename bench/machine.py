"""What the figures were measured on."""

import datetime
import os
import platform
from pathlib import Path


def facts(directory):
    return {
        "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        "processor": processor(),
        "cores": os.cpu_count(),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1),
        "kernel": platform.release(),
        "file_system": file_system(directory),
        "load": round(os.getloadavg()[0], 2),
    }


def processor():
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.machine()


def file_system(directory):
    """The type of the file system that holds a directory: on one in memory a sync costs nothing, and figures say nothing."""
    mounts = [line.split(" ")[1:3] for line in Path("/proc/self/mounts").read_text().splitlines()]
    holding = [(place, kind) for place, kind in mounts if Path(directory).is_relative_to(place)]
    return max(holding, key=lambda mount: len(mount[0]))[1]

