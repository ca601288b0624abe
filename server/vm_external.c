/* SPDX-License-Identifier: BSD-3-Clause */
/* vm_client.h's external clients: who waits for requests and finishes them by vCPU. */
#include "server/vm_client.h"

#include "clients/external.h"
#include "pollers/histogram.h"
#include "pollers/page_settle.h"
#include "pollers/ticks.h"

#include <errno.h>
#include <time.h>

/* True if the request is on offer and still in flight: what a reset settled is stale. */
static bool look(const struct vm_client *client, uint32_t vcpu, struct request *request)
{
    uint64_t ticket = external_look(client->client.external, vcpu, request);
    return ticket && slot_record_word(&client->vm->page->records[vcpu]) == ticket;
}

/* A bit for each vCPU whose request waits. */
static uint32_t waiting_now(const struct vm_client *client)
{
    uint32_t waiting = external_waiting(client->client.external), current = 0;
    struct request request;
    for (uint32_t vcpu = 0; vcpu < client->vm->page->vcpu_count; vcpu++)
        if ((waiting >> vcpu & 1) && look(client, vcpu, &request))
            current |= 1u << vcpu;
    return current;
}

int vm_client_wait(struct vm_client *client, uint64_t timeout_ns, uint32_t *vcpus)
{
    if (!client->client.external)
        return -EINVAL;
    uint64_t deadline = ticks_now() + ticks_from_ns(timeout_ns);
    atomic_fetch_add_explicit(&client->waiters, 1, memory_order_acquire);
    int result = 0;
    while ((*vcpus = waiting_now(client)) == 0 && result == 0) {
        if (atomic_load_explicit(&client->is_destroying, memory_order_acquire))
            result = -ENODEV;
        else if (ticks_now() > deadline)
            result = -ETIMEDOUT;
        else {
            struct timespec pause = {.tv_nsec = 20000};
            nanosleep(&pause, NULL);
        }
    }
    /* Release: pairs with settle_external; we do not touch the client any more. */
    atomic_fetch_sub_explicit(&client->waiters, 1, memory_order_release);
    return result;
}

int vm_client_look(struct vm_client *client, uint32_t vcpu, struct request *request)
{
    if (!client->client.external || vcpu >= client->vm->page->vcpu_count)
        return -EINVAL;
    return look(client, vcpu, request) ? 0 : -ENOENT;
}

int vm_client_finish(struct vm_client *client, uint32_t vcpu, uint64_t value)
{
    struct page *page = client->vm->page;
    if (!client->client.external || vcpu >= page->vcpu_count)
        return -EINVAL;
    struct request request;
    uint64_t ticket = external_take(client->client.external, vcpu, &request);
    /* Noted: whoever finished it is not asked again by the next server. */
    if (ticket && page_settle_noted(page, vcpu, ticket, value)) {
        histogram_record(client->latency, ticks_now() - request.arrival_ticks);
        return 0;
    }
    atomic_fetch_add_explicit(&page->settled[PAGE_REFUSED], 1, memory_order_relaxed);
    return -ENOENT;
}
