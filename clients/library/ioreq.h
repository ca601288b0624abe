/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * ioreq.h - libioreq: a device of an ioreqd VM in a process of your own.
 *
 * Flow:    ioreq_register (the configuration declares the client, `device: process`), or ioreq_create
 *          (it does not, and these are its ranges) -> ioreq_receive, ioreq_answer ... -> ioreq_close.
 *
 *              struct ioreq_client *client;
 *              struct ioreq_request request;
 *              int result = ioreq_register(NULL, "guest", "outside", &client);
 *              while (result == 0) {
 *                  result = ioreq_receive(client, &request, IOREQ_FOREVER, 50000);
 *                  if (result == 0)
 *                      result = ioreq_answer(client, request.token, value_of(&request));
 *              }
 *
 *          A request may be answered at once, later, and in any order; each within the deadline that
 *          the configuration sets, after which the server answers it in our place and refuses ours.
 *          There are at most 16 requests at a time, one for each virtual CPU, beside those that the
 *          server has given up.
 *
 * Threads: of one client one thread may receive and another one answer; several that answer must
 *          exclude each other. Different clients are independent.
 * Memory:  a client is the caller's until ioreq_close. Requests are copied out.
 * Errors:  0 or a negative errno. -ECONNRESET, from any function: the server has gone for good or has cut
 *          us off (too late too often, or answers to nothing): ioreq_close, and register anew.
 *          ioreq_error has the reason in words.
 *
 *          A server that dies and is started again (`ioreqd --supervise`, systemd) is no error: the
 *          functions that receive or arm find the next one by themselves, for up to 30 s, and requests
 *          go on: tokens stay valid, an answer that the dead one did not read is said again, and no
 *          request is received twice. Meanwhile there are none.
 * System calls: none in ioreq_answer; in ioreq_try_receive, and in ioreq_receive while it spins, one
 *          after each 65,536 looks that found nothing, some milliseconds: whether the server still
 *          lives; and what it takes to find the next one.
 */
#ifndef IOREQ_H
#define IOREQ_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Where no path is given and the environment has no IOREQD_SOCKET. */
#define IOREQ_DEFAULT_SOCKET "/run/ioreqd/ioreqd.sock"
#define IOREQ_FOREVER        UINT64_MAX

struct ioreq_client; /* opaque */

enum ioreq_type { IOREQ_PORTIO = 0, IOREQ_MMIO = 1, IOREQ_PCICFG = 2, IOREQ_WP = 3 };
enum ioreq_direction { IOREQ_READ = 0, IOREQ_WRITE = 1 };

/* range_index of a request that no range matched: the client is its VM's default one. */
#define IOREQ_NO_RANGE UINT32_MAX

/* One access of a guest. */
struct ioreq_request {
    uint64_t token;       /* names it in the answer; never 0 */
    uint64_t address;     /* port, guest-physical address, or ECAM address for PCICFG */
    uint64_t offset;      /* from the first address of its range; `address` without a range */
    uint64_t value;       /* of a write, cut to its size; 0 for a read */
    uint64_t ticks;       /* time-stamp counter when the server saw it */
    uint32_t range_index; /* which range of the client's, in the order of its description */
    uint32_t vcpu;        /* 0..15 */
    uint32_t type;        /* enum ioreq_type */
    uint32_t direction;   /* enum ioreq_direction */
    uint32_t size_bytes;  /* 1, 2, 4; MMIO and WP: 8, too */
    uint32_t resets;      /* as ioreq_resets when the guest made it */
};

/* Addresses, both ends inclusive. */
struct ioreq_range {
    uint64_t first, last;
    uint32_t type;     /* IOREQ_PORTIO, IOREQ_MMIO or IOREQ_PCICFG */
    uint32_t priority; /* where ranges of a VM overlap the higher one owns; 0..1000 */
};

/*
 * Becomes the device of client `name` of VM `vm`, both declared in ioreqd's configuration or created
 * earlier. socket_path NULL: IOREQD_SOCKET of the environment, or IOREQ_DEFAULT_SOCKET; vm and name
 * NULL: IOREQD_VM and IOREQD_CLIENT; ioreqd sets all three for a process that it starts. Waits for the
 * server's reply, up to 5 s. *client is the caller's after 0, and NULL after an error.
 * -ENOENT: no server there, no such VM or client. -EINVAL: the client is no `device: process`.
 * -EBUSY: another process serves it. -EPERM: this user is not allowed. -EDQUOT, -EUSERS: too many.
 * -EPROTO: a server of another version. -ETIMEDOUT.
 */
int ioreq_register(const char *socket_path, const char *vm, const char *name,
                   struct ioreq_client **client);

/*
 * The same for a client that does not exist yet: creates it with ranges [count], which may be 0, and
 * the default policy, then registers. It goes with ioreq_destroy, and stays reserved after ioreq_close.
 * Beside the errors of ioreq_register: -EEXIST: the name is taken, or a range overlaps one of the same
 * priority. Nothing is left behind after an error.
 */
int ioreq_create(const char *socket_path, const char *vm, const char *name,
                 const struct ioreq_range *ranges, size_t count, struct ioreq_client **client);

/* One more range, or one less (priority is of no meaning then); requests go on meanwhile. -EEXIST: it
 * overlaps one of the same priority. -ENOENT: the client has no such range. -EINVAL: not a range. */
int ioreq_add_range(struct ioreq_client *client, const struct ioreq_range *range);
int ioreq_delete_range(struct ioreq_client *client, const struct ioreq_range *range);

/* Copies the oldest request into *request, which must then be answered. -EAGAIN: there is none. */
int ioreq_try_receive(struct ioreq_client *client, struct ioreq_request *request);

/*
 * The same, and waits up to timeout_ns (IOREQ_FOREVER) for one: spins for spin_ns, then sleeps.
 * spin_ns IOREQ_FOREVER: never sleeps, lowest latency, a whole CPU. 0: sleeps at once. -ETIMEDOUT.
 * -EINTR: a signal came while it slept.
 */
int ioreq_receive(struct ioreq_client *client, struct ioreq_request *request, uint64_t timeout_ns,
                  uint64_t spin_ns);

/*
 * For an event loop of one's own: wait until the descriptor is readable (poll, epoll, io_uring), but
 * only after ioreq_arm returned 0; then receive until -EAGAIN, and arm again. The descriptor is the
 * client's: do not read or close it. It becomes readable at the end of the connection, too, when
 * ioreq_arm says -ECONNRESET, or looks for the next server.
 */
int ioreq_descriptor(const struct ioreq_client *client);

/* 0: the descriptor tells the next request. -EAGAIN: there is one now, receive it. */
int ioreq_arm(struct ioreq_client *client);

/*
 * 1 at first, and one more with each reset of the VM (a requester that comes anew is one). A device
 * whose registers have a power-on state looks at each request: if `resets` differs from that of the
 * request before, it puts them there first. What a reset settled may still be received, before the first
 * request of after it; its answer is refused. A reset wakes ioreq_descriptor, for devices that have
 * more to do.
 */
uint32_t ioreq_resets(const struct ioreq_client *client);

/*
 * Answers the request of that token: value, cut to the size of the access, for a read; for a write it
 * is of no meaning. Never waits. -EINVAL: token 0. -EAGAIN: the server has yet to read earlier
 * answers; try again. 0 does not say that it came in time.
 */
int ioreq_answer(struct ioreq_client *client, uint64_t token, uint64_t value);

/* The device cannot: the guest reads all-ones, and the server counts an error of ours. As
 * ioreq_answer. */
int ioreq_fail(struct ioreq_client *client, uint64_t token);

/* Why the last call that returned an error did, in the server's words where it has said any; never
 * NULL, valid until the next call. NULL asks for the last ioreq_register or ioreq_create of this
 * thread. */
const char *ioreq_error(const struct ioreq_client *client);

/* Leaves, and frees client. Requests that were not answered are completed by the client's policy, its
 * ranges are answered for. NULL does nothing. */
void ioreq_close(struct ioreq_client *client);

/* The same, and removes the client with its ranges from the server. */
int ioreq_destroy(struct ioreq_client *client);

#ifdef __cplusplus
}
#endif

#endif
