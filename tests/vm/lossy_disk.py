#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A disk with a volatile cache: an NBD server whose writes are on the disk only after a flush, and lost before.

lossy_disk.py IMAGE SOCKET      serves one client. On standard input, one line:
    -1 0 SEED    the power fails: of what was not flushed, nothing reaches the disk
    0 50 SEED    it fails when the next flush is asked for, with all written and nothing safe; 50 % of the sectors
                 reach the disk, whichever they are: torn and out of order. 1: at the flush after that, and so on
Then answers with one line of JSON, serves nothing any more, and ends when its input does: the client shall be
killed meanwhile, and see no error that a power cut would not show it.
"""
import json
import os
import random
import selectors
import socket
import struct
import sys
import time

SECTOR = 512
# The NBD protocol, github.com/NetworkBlockDevice/nbd, doc/proto.md
NEWSTYLE, OPTION, REPLY_OF_OPTION = b"NBDMAGICIHAVEOPT", b"IHAVEOPT", 0x3E889045565A9
REQUEST, REPLY = 0x25609513, 0x67446698
OPT_EXPORT_NAME, OPT_INFO, OPT_GO = 1, 6, 7
REP_ACK, REP_INFO, REP_ERR_UNSUP = 1, 3, 0x80000001
INFO_EXPORT, INFO_BLOCK_SIZE = 0, 3
FLAGS = 1 << 0 | 1 << 2 | 1 << 3  # has flags, takes flushes, takes "force unit access"
READ, WRITE, DISCONNECT, FLUSH = 0, 1, 2, 3
FORCE_UNIT_ACCESS = 1
EINVAL = 22


class Disk:
    """What is flushed is in the file, the rest in memory."""

    def __init__(self, path):
        self.fd = os.open(path, os.O_RDWR)
        self.size = os.fstat(self.fd).st_size
        self.unflushed = {}  # number of the sector -> its bytes
        self.writes = self.flushes = 0

    def read(self, offset, length):
        data = bytearray(os.pread(self.fd, length, offset))
        if self.unflushed:
            first = offset // SECTOR
            for i in range(length // SECTOR):
                sector = self.unflushed.get(first + i)
                if sector:
                    data[i * SECTOR:(i + 1) * SECTOR] = sector
        return bytes(data)

    def write(self, offset, data, through):
        self.writes += 1
        for i in range(0, len(data), SECTOR):
            self.unflushed[(offset + i) // SECTOR] = data[i:i + SECTOR]
        if through:
            self._keep(range(offset // SECTOR, (offset + len(data)) // SECTOR))

    def flush(self):
        self.flushes += 1
        self._keep(list(self.unflushed))

    def cut(self, percent, seed):
        chance = random.Random(seed)
        lost = len(self.unflushed)
        kept = [number for number in sorted(self.unflushed) if chance.randrange(100) < percent]
        self._keep(kept)
        return {"at": time.monotonic(), "writes": self.writes, "flushes": self.flushes, "unflushed_sectors": lost, "kept_sectors": len(kept)}

    def _keep(self, numbers):
        for number in numbers:
            os.pwrite(self.fd, self.unflushed.pop(number), number * SECTOR)


class Client:
    def __init__(self, sock, disk):
        self.socket, self.disk = sock, disk
        self.before_flush = None
        self.negotiate()

    def take(self, length):
        data = bytearray()
        while len(data) < length:
            more = self.socket.recv(length - len(data))
            if not more:
                raise EOFError
            data += more
        return bytes(data)

    def negotiate(self):
        self.socket.sendall(NEWSTYLE + struct.pack(">H", 1))
        self.take(4)
        while True:
            magic, option, length = struct.unpack(">8sII", self.take(16))
            assert magic == OPTION
            self.take(length)
            if option == OPT_EXPORT_NAME:
                self.socket.sendall(struct.pack(">QH124x", self.disk.size, FLAGS))
                return
            if option in (OPT_INFO, OPT_GO):
                self.answer_option(option, REP_INFO, struct.pack(">HQH", INFO_EXPORT, self.disk.size, FLAGS))
                self.answer_option(option, REP_INFO, struct.pack(">HIII", INFO_BLOCK_SIZE, SECTOR, 4096, 1 << 25))
                self.answer_option(option, REP_ACK)
                if option == OPT_GO:
                    return
            else:
                self.answer_option(option, REP_ERR_UNSUP)

    def answer_option(self, option, kind, data=b""):
        self.socket.sendall(struct.pack(">QIII", REPLY_OF_OPTION, option, kind, len(data)) + data)

    def serve_one(self):
        """False when the client has gone."""
        try:
            request = self.take(28)
        except EOFError:
            return False
        magic, flags, kind, handle, offset, length = struct.unpack(">IHHQQI", request)
        assert magic == REQUEST
        error, data = 0, b""
        if kind == READ:
            data = self.disk.read(offset, length)
        elif kind == WRITE:
            self.disk.write(offset, self.take(length), flags & FORCE_UNIT_ACCESS)
        elif kind == FLUSH:
            if self.before_flush and self.disk.unflushed:
                self.before_flush()
            self.disk.flush()
        elif kind == DISCONNECT:
            self.disk.flush()
            return False
        else:
            error = EINVAL
        self.socket.sendall(struct.pack(">IIQ", REPLY, error, handle) + data)
        return True


def power_fails(disk, percent, seed):
    print(json.dumps(disk.cut(percent, seed)), flush=True)
    sys.stdin.readline()
    sys.exit(0)


def main():
    disk = Disk(sys.argv[1])
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(sys.argv[2])
    listener.listen(1)
    sock, _ = listener.accept()
    client = Client(sock, disk)
    events = selectors.DefaultSelector()
    events.register(sock, selectors.EVENT_READ)
    events.register(sys.stdin, selectors.EVENT_READ)
    while True:
        for key, _ in events.select():
            if key.fileobj is sys.stdin:
                order = sys.stdin.readline().split()
                if not order:
                    return
                flushes_left, percent, seed = (int(word) for word in order)
                if flushes_left < 0:
                    power_fails(disk, percent, seed)
                left = iter(range(flushes_left))
                client.before_flush = lambda: next(left, None) is None and power_fails(disk, percent, seed)
            elif not client.serve_one():
                events.unregister(sock)


if __name__ == "__main__":
    main()
