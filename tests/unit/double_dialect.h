/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A dialect for tests that asks for all that any dialect may: three packets a sample, births that hold samples back and carry the
 * newest values, two subscriptions, one sequence number over births, devices, samples and the death, logins that expire, the birth
 * again and a pause on request.
 *
 *     {prefix}/birth                 gateway's birth, to be acknowledged before any sample
 *     {prefix}/birth/DEVICE          with the device's newest value, to be sent before any sample
 *     {prefix}/device/DEVICE         what changed of a device, or that it is gone
 *     {prefix}/data/DEVICE/1 … 3     a sample's three parts
 *     {prefix}/death                 the will too, which has no number
 *     {prefix}/event                 outside of the sequence
 *     {prefix}/ask/birth, {prefix}/state ("hold", "go")    what it listens to
 *
 * Payloads are words `name=value`: conn (process and connection), seq (from 1), call (of encode(), from 1), n (the value), …
 */
#ifndef HAYWAIN_TESTS_DOUBLE_DIALECT_H
#define HAYWAIN_TESTS_DOUBLE_DIALECT_H

#include "upstream/dialects/dialect.h"

#define DOUBLE_PARTS 3

/* Samples go with QoS 0 and are proved, or with QoS 1. */
extern const struct dialect dialect_double, dialect_double_acked;

#endif
