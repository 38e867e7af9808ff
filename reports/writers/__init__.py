"""Report formats, one file each defining `WRITER`."""
