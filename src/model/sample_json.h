/* SPDX-License-Identifier: Apache-2.0 */
/* One sample as JSON text, as the dialect "json" and the local API give it. Pure. */
#ifndef HAYWAIN_MODEL_SAMPLE_JSON_H
#define HAYWAIN_MODEL_SAMPLE_JSON_H

#include "model/sample.h"
#include "model/series.h"
#include "model/stream.h"

/* {"device":…,"ts":…,"seq":…,"values":{…},"quality":{…}}; a seq of 0 is left out. scratch: room that is used again.
   -EBADMSG: the sample cannot be read; out then holds a part of it. */
int json_sample(struct buf *out, struct buf *scratch, struct series_set *series, const struct stamped_sample *sample);

/* The same of a sample that is being published, without decoding it again. */
void json_stream_sample(struct buf *out, struct buf *scratch, const struct stream_sample *decoded,
			const struct stamped_sample *sample);

/* Whether JSON has a way to write it: NaN and infinity it has none for. */
bool json_value_fits(const struct hay_value *value);
void json_value(struct buf *out, const struct hay_value *value);

/* "bad: timeout", "uncertain: out of range". For a reading that is not good, or whose value does not fit. */
void json_quality(struct buf *out, struct buf *scratch, const struct sample_reading *reading);

#endif
