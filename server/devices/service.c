/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/devices/service.h"

#include "pollers/poller.h"
#include "server/devices/image.h"
#include "server/devices/stream.h"
#include "server/log.h"
#include "server/notify/interrupt.h"

#include <errno.h>
#include <string.h>

int service_open(struct vm_client *client)
{
    struct device *device = client->client.device;
    char text[TOPOLOGY_REASON_BYTES] = "";
    int result = device ? stream_open(device, &client->stream, text, sizeof(text)) : 0;
    if (result < 0)
        log_error("client %s: cannot open %s: %s", client->client.name, device->stream, text);
    else if (client->stream && text[0])
        log_info("client %s: %s", client->client.name, text);
    if (result == 0 && client->interrupt_route.kind) {
        result = interrupt_open(client);
        if (result < 0)
            log_error("client %s: cannot have its interrupt: %s", client->client.name,
                      result == -EEXIST ? "another client of the VM has that line"
                                        : strerror(-result));
    }
    return result;
}

static void tell_losses(struct vm_client *client)
{
    char reason[TOPOLOGY_REASON_BYTES];
    if (client->stream && stream_began_to_lose(client->stream, reason, sizeof(reason)))
        log_warning("client %s: output to %s is lost: %s", client->client.name,
                    client->client.device->stream, reason);
}

static void save(struct vm_client *client)
{
    const struct device *device = client->client.device;
    const struct device_image *image = device ? device->image : NULL;
    int result = image ? image_save_if_changed(image, &client->image_saved) : 0;
    if (result < 0 && !client->image_failed)
        log_warning("client %s: cannot write %s: %s; trying again every second",
                    client->client.name, image->path, strerror(-result));
    client->image_failed = result < 0;
}

void service_close(struct vm_client *client)
{
    save(client);
    interrupt_close(client);
    stream_close(client->stream);
    client->stream = NULL;
}

void services_pump(const struct topology *topology)
{
    for (size_t i = 0; i < topology->vm_count; i++)
        for (uint32_t k = 0; k < topology->vms[i]->client_count; k++)
            if (topology->vms[i]->clients[k]->stream)
                stream_pump(topology->vms[i]->clients[k]->stream, topology->vms[i]->is_attached);
    interrupts_tend(topology);
}

void services_save(const struct topology *topology)
{
    for (size_t i = 0; i < topology->vm_count; i++)
        for (uint32_t k = 0; k < topology->vms[i]->client_count; k++) {
            save(topology->vms[i]->clients[k]);
            tell_losses(topology->vms[i]->clients[k]);
        }
}

void services_close(const struct topology *topology)
{
    for (size_t i = 0; i < topology->vm_count; i++)
        for (uint32_t k = 0; k < topology->vms[i]->client_count; k++) {
            struct vm_client *client = topology->vms[i]->clients[k];
            save(client);
            /* A poller that is parked for good is not asked to let go of a line. */
            if (poller_is_gone(client->poller))
                interrupt_close(client);
            stream_close(client->stream);
            client->stream = NULL;
        }
}
