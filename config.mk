# What a packager may set; the command line wins.
PREFIX      ?= /usr/local
BINDIR      ?= $(PREFIX)/bin
SBINDIR     ?= $(PREFIX)/sbin
LIBDIR      ?= $(PREFIX)/lib
DATADIR     ?= $(PREFIX)/share
MANDIR      ?= $(DATADIR)/man
INCLUDEDIR  ?= $(PREFIX)/include
SYSCONFDIR  ?= /etc
UNITDIR     ?= $(LIBDIR)/systemd/system

CC          ?= cc
AR          ?= ar
PKG_CONFIG  ?= pkg-config
CFLAGS      ?= -O2 -g
LDFLAGS     ?=

# DEV=1: warnings are errors. FLAVOUR: plain, asan (AddressSanitizer and UBSan) or tsan; each has its own build tree.
DEV         ?= 0
FLAVOUR     ?= plain

PKGS        := libsystemd libmosquitto openssl sqlite3 libconfig jansson zlib
PKGS_cli    := libcurl jansson
PKGS_modbus := libmodbus
PKGS_serial := libserialport libpcre2-8 jansson
PKGS_ble    := libsystemd openssl
PKGS_sim    :=
