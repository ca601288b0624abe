/* SPDX-License-Identifier: BSD-3-Clause */
/* Peers of ioreqd that are slow, half gone or gone while they wait: they get what is theirs, and take
 * nothing from the others. */
#include "tests/support/ioreqd.h"
#include "tests/support/skip.h"

#include <poll.h>
#include <sys/socket.h>

#define WAITING_PEERS 70 /* more than CONNECTIONS_MAX */

/* True if something came within timeout_ms, be it the end. */
static bool hears(int peer, int timeout_ms)
{
    struct pollfd entry = {.fd = peer, .events = POLLIN};
    return poll(&entry, 1, timeout_ms) == 1;
}

/* ---- peers that wait --------------------------------------------------------------------- */

/* CPU time of the server's control thread, its first one. */
static uint64_t control_cpu_ns(void)
{
    char path[64];
    unsigned long long cpu_ns;
    snprintf(path, sizeof(path), "/proc/%d/task/%d/schedstat", (int)ioreqd.pid, (int)ioreqd.pid);
    FILE *file = fopen(path, "re");
    skip_if(!file, "this kernel keeps no schedstat");
    assert_int_equal(fscanf(file, "%llu", &cpu_ns), 1);
    fclose(file);
    return cpu_ns;
}

static void waiting_peers_that_go_away_leave_their_places(void **state)
{
    (void)state;
    ioreqd_start("");
    daemon_ask(&ioreqd, "client-create-external other model");
    for (int i = 0; i < 2 * WAITING_PEERS; i++) {
        int waiting = daemon_connect(&ioreqd);
        assert_int_equal(wire_send_line(waiting, "client-attach other model"), 0);
        if (i % 2) {
            shutdown(waiting, SHUT_WR);
            daemon_pause(); /* heard before the end, most times */
        }
        close(waiting);
        /* There is a place for this one, or will be when the server has heard of the end. */
        for (int k = 0; !daemon_answers(&ioreqd); k++)
            assert_true(k < 100);
    }
    assert_int_equal(daemon_stop(&ioreqd), 0);
}

/* Its end stays readable for ever: whoever goes on looking spins. */
static void half_gone_peer_that_waits_keeps_nobody_busy(void **state)
{
    (void)state;
    ioreqd_start("");
    daemon_ask(&ioreqd, "client-create-external other model");
    int waiting = daemon_connect(&ioreqd);
    assert_int_equal(wire_send_line(waiting, "client-attach other model"), 0);
    shutdown(waiting, SHUT_WR);
    assert_true(daemon_answers(&ioreqd)); /* it has been heard by now */
    uint64_t before = control_cpu_ns();
    assert_false(hears(waiting, 500));
    assert_true(control_cpu_ns() - before < 250000000);
    /* It still gets its reply. */
    char reply[WIRE_LINE_MAX];
    daemon_ask(&ioreqd, "client-destroy other model");
    assert_int_equal(wire_receive_line(waiting, reply, sizeof(reply), NULL), 0);
    assert_non_null(strstr(reply, "being destroyed"));
    close(waiting);
    assert_int_equal(daemon_stop(&ioreqd), 0);
}

/* ---- large replies ----------------------------------------------------------------------- */

#define MANY_VMS     64
#define MANY_CLIENTS 1024

static void start_many(void)
{
    FILE *file = fopen(ioreqd.config, "we");
    assert_non_null(file);
    fprintf(file,
            "server: {socket: %s, lock_memory: false}\n"
            "pollers: [{name: a-long-name-000, cpu: any, idle: sleep, sandbox: %s}]\n"
            "vms:\n",
            ioreqd.socket, DAEMON_SANDBOX);
    for (int i = 0; i < MANY_VMS; i++)
        fprintf(file,
                "  - {name: a-long-name-%03d, vcpus: 16, source: memfd, "
                "poller: a-long-name-000}\n",
                i);
    fprintf(file, "clients:\n");
    for (int i = 0; i < MANY_CLIENTS; i++)
        fprintf(file,
                "  - {name: a-long-nam-%04d, vm: a-long-name-%03d, device: fallback, "
                "ranges: [{type: mmio, first: 0x%x, last: 0x%x}]}\n",
                i, i % MANY_VMS, i * 4096, i * 4096 + 4095);
    assert_int_equal(fclose(file), 0);
    daemon_start(&ioreqd);
}

/* The whole reply of a peer that asked for the status and reads it bit by bit. */
static char *read_slowly(int peer)
{
    size_t length = 0, space = 1 << 20;
    char *text = malloc(space);
    ssize_t count;
    assert_non_null(text);
    while ((count = recv(peer, text + length, length + 16384 < space ? 16384 : 0, 0)) > 0) {
        length += (size_t)count;
        daemon_pause();
    }
    assert_int_equal(count, 0);
    text[length] = '\0';
    return text;
}

static void assert_whole_status(char *text)
{
    size_t length = strlen(text), clients = 0;
    assert_true(length > 300 * 1024);
    assert_int_equal(strncmp(text, "ok\n{", 4), 0);
    assert_string_equal(text + length - 2, "}\n");
    for (const char *found = text; (found = strstr(found, "\"p99.99\"")); found++)
        clients++;
    assert_int_equal(clients, MANY_CLIENTS);
    free(text);
}

static void slow_and_half_gone_readers_get_the_whole_reply(void **state)
{
    (void)state;
    start_many();
    for (int is_half_gone = 0; is_half_gone < 2; is_half_gone++) {
        int peer = daemon_connect(&ioreqd);
        assert_int_equal(wire_send_line(peer, "status json"), 0);
        if (is_half_gone)
            shutdown(peer, SHUT_WR);
        /* The reply fills the socket, and the rest waits; meanwhile others are served. */
        assert_true(daemon_answers(&ioreqd));
        assert_whole_status(read_slowly(peer));
        close(peer);
    }
    assert_int_equal(daemon_stop(&ioreqd), 0);
}

static void reader_who_goes_away_leaves_the_others_alone(void **state)
{
    (void)state;
    start_many();
    for (int i = 0; i < 10; i++) {
        int peer = daemon_connect(&ioreqd);
        assert_int_equal(wire_send_line(peer, "status json"), 0);
        char byte;
        assert_int_equal(recv(peer, &byte, 1, 0), 1);
        close(peer); /* with most of it unread */
    }
    assert_true(daemon_answers(&ioreqd));
    assert_int_equal(daemon_stop(&ioreqd), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        IOREQD_TEST(waiting_peers_that_go_away_leave_their_places),
        IOREQD_TEST(half_gone_peer_that_waits_keeps_nobody_busy),
        IOREQD_TEST(slow_and_half_gone_readers_get_the_whole_reply),
        IOREQD_TEST(reader_who_goes_away_leaves_the_others_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
