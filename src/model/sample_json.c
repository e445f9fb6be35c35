/* SPDX-License-Identifier: Apache-2.0 */
#include "model/sample_json.h"
#include "base/json.h"
#include <errno.h>
#include <math.h>

bool json_value_fits(const struct hay_value *value)
{
	if (value->type == HAY_FLOAT32)
		return isfinite(value->f);
	if (value->type == HAY_FLOAT64)
		return isfinite(value->d);
	return value->type != HAY_TYPE_NONE;
}

void json_value(struct buf *out, const struct hay_value *value)
{
	switch (value->type) {
	case HAY_BOOL:
		json_bool(out, value->b);
		return;
	case HAY_INT16:
	case HAY_INT32:
	case HAY_INT64:
		json_int(out, value->i);
		return;
	case HAY_UINT16:
	case HAY_UINT32:
	case HAY_UINT64:
		json_uint(out, value->u);
		return;
	case HAY_FLOAT32:
		json_float(out, value->f);
		return;
	case HAY_FLOAT64:
		json_double(out, value->d);
		return;
	case HAY_STRING:
		json_text_n(out, value->s.data, value->s.size);
		return;
	case HAY_BYTES:
		json_bytes(out, value->s.data, value->s.size);
		return;
	case HAY_TYPE_NONE:
	case HAY_N_TYPES:
		break;
	}
	json_raw(out, "null");
}

void json_quality(struct buf *out, struct buf *scratch, const struct sample_reading *reading)
{
	buf_clear(scratch);
	if (reading->quality != HAY_BAD && !json_value_fits(&reading->value)) {
		buf_add_text(scratch, "bad: ");
		buf_add_text(scratch, reason_to_string(HAY_NOT_A_NUMBER));
	} else {
		buf_add_text(scratch, reading->quality == HAY_BAD ? "bad" : "uncertain");
		if (reading->reason == HAY_EXCEPTION && reading->exception_size > 0) {
			buf_add_text(scratch, ": ");
			buf_add(scratch, reading->exception, reading->exception_size);
		} else if (reading->reason != HAY_NO_REASON) {
			buf_add_text(scratch, ": ");
			buf_add_text(scratch, reason_to_string(reading->reason));
		}
	}
	json_text_n(out, scratch->data, scratch->size);
}

/* Readings one by one, from a blob or decoded. */
struct reading_source {
	struct series_set *set; /* of a blob */
	const struct sample *blob;
	struct sample_cursor cursor;
	const struct stream_sample *decoded; /* NULL: from the blob */
	size_t at;
};

static int rewind_source(struct reading_source *source)
{
	source->at = 0;
	return source->decoded ? 0 : sample_begin(source->blob, &source->cursor);
}

/* As sample_next(), with the series. */
static int next_reading(struct reading_source *source, struct sample_reading *ret, const struct series **ret_series)
{
	int r;

	if (source->decoded) {
		if (source->at == source->decoded->n_readings)
			return 0;
		*ret_series = source->decoded->series[source->at];
		*ret = source->decoded->readings[source->at++];
		return 1;
	}
	r = sample_next(&source->cursor, ret);
	if (r <= 0)
		return r;
	*ret_series = series_by_number(source->set, ret->series);
	return *ret_series ? 1 : -EBADMSG;
}

enum which_readings { WITH_VALUE, NOT_GOOD };

/* One walk over a sample. *ret_not_good: whether a second one for the qualities is needed. */
static int add_readings(struct buf *out, struct buf *scratch, struct reading_source *source, enum which_readings which,
			bool *ret_not_good)
{
	const struct series *series;
	struct sample_reading reading;
	bool not_good = false;
	int r = rewind_source(source);

	while (r >= 0 && (r = next_reading(source, &reading, &series)) > 0) {
		bool has_value = reading.quality != HAY_BAD && json_value_fits(&reading.value);
		bool good = reading.quality == HAY_GOOD && has_value;

		not_good |= !good;
		if (which == WITH_VALUE && has_value) {
			json_key(out, series->point);
			json_value(out, &reading.value);
		} else if (which == NOT_GOOD && !good) {
			json_key(out, series->point);
			json_quality(out, scratch, &reading);
		}
	}
	*ret_not_good = not_good;
	return r;
}

static int print_sample(struct buf *out, struct buf *scratch, struct reading_source *source,
			const struct series_device *device, const struct stamped_sample *sample)
{
	bool not_good;
	int r;

	json_open(out, '{');
	json_key(out, "device");
	json_text(out, device->name);
	json_key(out, "ts");
	json_int(out, sample->ts_ms);
	if (sample->seq > 0) {
		json_key(out, "seq");
		json_uint(out, sample->seq);
	}
	if (!sample->certain) {
		json_key(out, "time");
		json_text(out, "uncertain");
	}
	json_key(out, "values");
	json_open(out, '{');
	r = add_readings(out, scratch, source, WITH_VALUE, &not_good);
	if (r < 0)
		return r;
	json_close(out, '}');
	if (not_good) {
		json_key(out, "quality");
		json_open(out, '{');
		r = add_readings(out, scratch, source, NOT_GOOD, &not_good);
		if (r < 0)
			return r;
		json_close(out, '}');
	}
	json_close(out, '}');
	return 0;
}

int json_sample(struct buf *out, struct buf *scratch, struct series_set *series, const struct stamped_sample *sample)
{
	const struct series_device *device = series_device_by_number(series, sample->sample->device);
	struct reading_source source = {.set = series, .blob = sample->sample};

	return device ? print_sample(out, scratch, &source, device, sample) : -EBADMSG;
}

void json_stream_sample(struct buf *out, struct buf *scratch, const struct stream_sample *decoded,
			const struct stamped_sample *sample)
{
	struct reading_source source = {.decoded = decoded};

	print_sample(out, scratch, &source, decoded->device, sample);
}
