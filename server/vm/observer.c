/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/vm/observer.h"

#include "clients/request.h"

#include <string.h>

void text_matcher_init(struct text_matcher *matcher, const char *text)
{
    memset(matcher, 0, sizeof(*matcher));
    matcher->text_length = strnlen(text, UNTIL_TEXT_MAX);
    memcpy(matcher->text, text, matcher->text_length);
}

bool text_matcher_see(struct text_matcher *matcher, char byte)
{
    if (matcher->text_length == 0)
        return false;
    if (matcher->tail_length == matcher->text_length)
        memmove(matcher->tail, matcher->tail + 1, --matcher->tail_length);
    matcher->tail[matcher->tail_length++] = byte;
    return matcher->tail_length == matcher->text_length &&
           memcmp(matcher->tail, matcher->text, matcher->text_length) == 0;
}

int observer_init(struct observer *observer, const struct observer_setup *setup, char *error)
{
    memset(observer, 0, sizeof(*observer));
    if (setup->record_path) {
        int result = trace_writer_open(setup->record_path, &setup->header, &observer->trace, error);
        if (result != 0)
            return result;
    }
    pthread_mutex_init(&observer->lock, NULL);
    volatile_answers_init(&observer->volatile_answers, setup->volatile_ranges,
                          setup->volatile_count);
    observer->console_port = setup->console_port;
    observer->waits_for_text = setup->until != NULL;
    text_matcher_init(&observer->matcher, setup->until ? setup->until : "");
    return 0;
}

static void observer_record(struct observer *observer, uint32_t vcpu,
                            const struct requester_access *access)
{
    struct trace_entry entry = {.access = *access, .vcpu = vcpu};
    entry.access.value &= request_ones((uint32_t)access->size_bytes);
    entry.is_volatile = volatile_answers_see(&observer->volatile_answers, &entry.access);
    trace_write(observer->trace, &entry);
}

bool observer_see(struct observer *observer, uint32_t vcpu, const struct requester_access *access)
{
    if (!observer->waits_for_text && !observer->trace)
        return false;
    bool is_complete = false;
    pthread_mutex_lock(&observer->lock);
    if (observer->trace)
        observer_record(observer, vcpu, access);
    if (observer->waits_for_text && access->type == REQUEST_PORTIO &&
        access->direction == REQUEST_WRITE && access->address == observer->console_port &&
        access->size_bytes == 1)
        is_complete = text_matcher_see(&observer->matcher, (char)(access->value & 0xff));
    pthread_mutex_unlock(&observer->lock);
    return is_complete;
}

int observer_commit(struct observer *observer, char *error)
{
    pthread_mutex_destroy(&observer->lock);
    return observer->trace ? trace_writer_commit(observer->trace, error) : 0;
}

void observer_abandon(struct observer *observer)
{
    pthread_mutex_destroy(&observer->lock);
    if (observer->trace)
        trace_writer_abandon(observer->trace);
}
