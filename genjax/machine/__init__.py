"""The ground floor: devices, processes, disks."""
