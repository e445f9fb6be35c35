/* SPDX-License-Identifier: Apache-2.0 */
/* Preloaded into the daemon under test: what its event loop shall do in an hour it does in two seconds. */
#include <dlfcn.h>
#include <stdint.h>
#include <systemd/sd-event.h>

#define HOUR_US 3600000000u
#define SHORT_US 2000000u

int sd_event_add_time_relative(sd_event *event, sd_event_source **ret, clockid_t clock, uint64_t after_us,
			       uint64_t accuracy_us, sd_event_time_handler_t callback, void *userdata)
{
	int (*real)(sd_event *, sd_event_source **, clockid_t, uint64_t, uint64_t, sd_event_time_handler_t, void *) =
		(int (*)(sd_event *, sd_event_source **, clockid_t, uint64_t, uint64_t, sd_event_time_handler_t,
			 void *))dlsym(RTLD_NEXT, "sd_event_add_time_relative");

	return real(event, ret, clock, after_us == HOUR_US ? SHORT_US : after_us, accuracy_us, callback, userdata);
}

int sd_event_source_set_time_relative(sd_event_source *source, uint64_t after_us)
{
	int (*real)(sd_event_source *, uint64_t) =
		(int (*)(sd_event_source *, uint64_t))dlsym(RTLD_NEXT, "sd_event_source_set_time_relative");

	return real(source, after_us == HOUR_US ? SHORT_US : after_us);
}
