"""Filesystems on loop devices, for the rigs that break or fill them. Needs root."""

import fcntl
import os
import re
import struct
import time

from rig import Unavailable, on_exit, shell

# EXT4_IOC_SHUTDOWN and XFS_IOC_GOINGDOWN are one number: _IOR('X', 125, __u32).
_SHUTDOWN = 0x8004587D
# Neither the filesystem's journal nor any data is written before it goes down.
_NO_LOG_FLUSH = 2
_LOOP_SET_STATUS64 = 0x4C04
_LOOP_GET_STATUS64 = 0x4C05


def require(*programs):
    if os.geteuid() != 0:
        raise Unavailable("loop devices need root")
    for program in ("losetup", "mount", "umount", *programs):
        if shell("which", program, check=False).returncode != 0:
            raise Unavailable(f"{program} is not installed")
    if not os.path.exists("/dev/loop-control"):
        raise Unavailable("there are no loop devices")


def has(program):
    return shell("which", program, check=False).returncode == 0


class Volume:
    """An image file with a filesystem in it, mounted."""

    def __init__(self, image, mount_point, kind="ext4", mebibytes=1024, make=(), sparse=True):
        self.image, self.mount_point, self.kind = image, mount_point, kind
        self.device = None
        self.mounted = False
        with open(image, "wb") as file:
            if sparse:
                file.truncate(mebibytes << 20)
            else:
                os.posix_fallocate(file.fileno(), 0, mebibytes << 20)
                os.fsync(file.fileno())
        os.makedirs(mount_point, exist_ok=True)
        on_exit(self.close)
        self.attach()
        if kind == "ext4":
            # Nothing is left for a kernel thread to do later.
            lazy = "lazy_itable_init=0,lazy_journal_init=0"
            shell("mkfs.ext4", "-q", "-F", "-m", "0", "-E", lazy, *make, self.device)
        else:
            shell("mkfs.xfs", "-q", "-f", *make, self.device)
        self.mount()

    def attach(self):
        done = shell("losetup", "--find", "--show", self.image, check=False)
        if done.returncode != 0:
            raise Unavailable(f"no loop device: {done.stderr.strip()}")
        self.device = done.stdout.strip()

    def mount(self):
        done = shell("mount", "-t", self.kind, self.device, self.mount_point, check=False)
        if done.returncode != 0:
            raise OSError(f"mounting {self.device}: {done.stderr.strip()}")
        self.mounted = True

    def unmount(self):
        """Unmounts; what a killed process leaves to the kernel may keep it busy for a moment."""
        for _ in range(300):
            done = shell("umount", self.mount_point, check=False)
            if done.returncode == 0:
                self.mounted = False
                return
            time.sleep(0.05)
        raise OSError(f"{self.mount_point} stays busy: {done.stderr.strip()}")

    def detach(self):
        shell("losetup", "--detach", self.device)
        self.device = None

    def shut_down(self):
        """The filesystem is gone as in a power cut: nothing more reaches the device."""
        handle = os.open(self.mount_point, os.O_RDONLY)
        try:
            fcntl.ioctl(handle, _SHUTDOWN, struct.pack("I", _NO_LOG_FLUSH))
        finally:
            os.close(handle)

    def limit(self, length):
        """Ends the device there from now on: writes behind it fail with EIO, flushes succeed.

        0 gives it its whole length back, with all that it was given before.
        """
        # struct loop_info64: lo_sizelimit is its fourth 64-bit number.
        handle = os.open(self.device, os.O_RDWR)
        try:
            state = bytearray(fcntl.ioctl(handle, _LOOP_GET_STATUS64, bytes(232)))
            struct.pack_into("<Q", state, 32, length)
            fcntl.ioctl(handle, _LOOP_SET_STATUS64, bytes(state))
        finally:
            os.close(handle)

    def faults(self):
        """Checks the unmounted filesystem without repairing it; an empty text is a clean one."""
        if self.kind == "ext4":
            done = shell("fsck.ext4", "-f", "-n", self.device, check=False)
        else:
            done = shell("xfs_repair", "-n", self.device, check=False)
        return "" if done.returncode == 0 else (done.stdout + done.stderr).strip()

    def fill(self, name="filler", leave=0):
        """Takes all free space but `leave` bytes with one file."""
        path = os.path.join(self.mount_point, name)
        with open(path, "ab") as file:
            for step in (1 << 20, 1 << 12, 1 << 10):
                while self.free_bytes() >= leave + step or leave == 0:
                    try:
                        position = os.fstat(file.fileno()).st_size
                        os.posix_fallocate(file.fileno(), position, step)
                    except OSError:
                        break
        return path

    def free_bytes(self):
        state = os.statvfs(self.mount_point)
        return state.f_bavail * state.f_frsize

    def close(self):
        if self.mounted and shell("umount", self.mount_point, check=False).returncode != 0:
            shell("umount", "--lazy", self.mount_point, check=False)
        self.mounted = False
        if self.device:
            shell("losetup", "--detach", self.device, check=False)
            self.device = None


class VolatileDevice:
    """A volume whose device has a write cache that a power cut empties.

    The image lies on a filesystem of its own. What the device was given and not asked to flush is
    in that filesystem's page cache; shutting it down drops what it has not written back.
    """

    def __init__(self, directory, kind="ext4", mebibytes=1024):
        # On the disk, not in a page cache that outlives the cut.
        self.outer = Volume(os.path.join(directory, "outer.img"),
                            os.path.join(directory, "outer"), mebibytes=mebibytes + 160)
        image = os.path.join(self.outer.mount_point, "inner.img")
        self.inner = Volume(image, os.path.join(directory, "volume"), kind, mebibytes,
                            sparse=False)
        self.mount_point = self.inner.mount_point
        os.sync()

    def cut_filesystem(self):
        self.inner.shut_down()

    def cut_device(self):
        self.outer.shut_down()

    def restore(self, device_was_cut):
        """Power returns; gives what a check of the filesystem found."""
        self.inner.unmount()
        if device_was_cut:
            self.inner.detach()
            self.outer.unmount()
            # Reads the image as it is on the medium.
            self.outer.mount()
            self.inner.attach()
        # The mount replays the filesystem's own journal, which the check must not do.
        self.inner.mount()
        self.inner.unmount()
        faults = self.inner.faults()
        self.inner.mount()
        return faults


def kernel_messages(since_us, pattern):
    """Time in microseconds and text of the kernel's messages since then that fit."""
    found = []
    handle = os.open("/dev/kmsg", os.O_RDONLY | os.O_NONBLOCK)
    try:
        while True:
            try:
                record = os.read(handle, 8192).decode("utf-8", "replace")
            except BlockingIOError:
                return found
            except BrokenPipeError:
                continue
            head, _, text = record.partition(";")
            at = int(head.split(",")[2])
            if at >= since_us and re.search(pattern, text):
                found.append((at, text.splitlines()[0]))
    finally:
        os.close(handle)


