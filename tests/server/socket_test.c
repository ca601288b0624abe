/* SPDX-License-Identifier: BSD-3-Clause */
/* ioreqd's socket: who may connect, and what is done about silent peers and descriptors that nobody
 * asked for. */
#include "tests/support/child.h"
#include "tests/support/descriptors.h"
#include "tests/support/ioreqd.h"
#include "tests/support/skip.h"

#include <poll.h>
#include <sys/socket.h>

static int run_status(void)
{
    struct daemon ctl = daemon_beside(&ioreqd);
    const char *const arguments[] = {BINARY_DIR "/ioreqctl", "--socket", ioreqd.socket, "status",
                                     NULL};
    return daemon_run(&ctl, arguments);
}

/* ---- who may connect --------------------------------------------------------------------- */

static mode_t socket_mode(void)
{
    struct stat file;
    assert_int_equal(stat(ioreqd.socket, &file), 0);
    assert_true(S_ISSOCK(file.st_mode));
    return file.st_mode & 07777;
}

static void socket_is_its_owners_unless_others_are_allowed(void **state)
{
    (void)state;
    mode_t mask = umask(0);
    ioreqd_start("");
    assert_int_equal(socket_mode(), 0600);
    assert_int_equal(daemon_stop(&ioreqd), 0);
    umask(077);
    ioreqd_start(", allowed_uids: [12345]");
    assert_int_equal(socket_mode(), 0666);
    assert_int_equal(daemon_stop(&ioreqd), 0);
    umask(mask);
}

static void user_who_is_allowed_attaches(void **state)
{
    (void)state;
    skip_if(geteuid() != 0, SKIP_NOT_ROOT);
    ioreqd_start(", allowed_uids: [12345, 65534]");
    pid_t child = child_fork();
    if (child == 0) {
        struct requester *requester = NULL;
        char error[256];
        if (setresgid(65534, 65534, 65534) < 0 || setresuid(65534, 65534, 65534) < 0)
            _exit(1);
        if (requester_attach(ioreqd.socket, "guest", &requester, error, sizeof(error)) < 0)
            _exit(2);
        struct requester_access access = {
            .address = 0x1000, .size_bytes = 4, .type = REQUEST_MMIO, .direction = REQUEST_READ};
        _exit(requester_access(requester, 0, &access) == 0 && access.value == 0xffffffff ? 0 : 3);
    }
    assert_int_equal(child_wait(child), 0);
    assert_int_equal(daemon_stop(&ioreqd), 0);
}

static void file_in_the_sockets_place_is_left_alone(void **state)
{
    (void)state;
    daemon_write_config(&ioreqd, "none", "");
    daemon_write(ioreqd.socket, "somebody's work\n");
    const char *const arguments[] = {BINARY_DIR "/ioreqd", "--config", ioreqd.config, NULL};
    daemon_spawn(&ioreqd, arguments);
    assert_int_equal(daemon_wait(&ioreqd), 1);
    assert_true(daemon_file_has(ioreqd.err, "cannot listen on"));
    assert_true(daemon_file_has(ioreqd.socket, "somebody's work\n"));
}

/* ---- silent peers ------------------------------------------------------------------------ */

#define SILENT_PEERS 70 /* more than CONNECTIONS_MAX */

/* True if the server has ended the connection. */
static bool is_cut(int peer, int timeout_ms)
{
    char byte;
    struct pollfd entry = {.fd = peer, .events = POLLIN};
    return poll(&entry, 1, timeout_ms) == 1 && recv(peer, &byte, 1, MSG_DONTWAIT) <= 0;
}

static void silent_peers_lock_nobody_out(void **state)
{
    (void)state;
    ioreqd_start("");
    struct requester *requester = daemon_attach(&ioreqd, "guest");
    int peers[SILENT_PEERS];
    for (int i = 0; i < SILENT_PEERS; i++)
        peers[i] = daemon_connect(&ioreqd);
    for (int i = 0; i < 3; i++)
        assert_int_equal(run_status(), 0);
    /* The one that was silent for longest made room, the attached one did not. */
    assert_true(is_cut(peers[0], 0));
    assert_false(is_cut(peers[SILENT_PEERS - 1], 0));
    daemon_exercise(requester, 100);
    for (int i = 0; i < SILENT_PEERS; i++)
        close(peers[i]);
    assert_int_equal(run_status(), 0);
    requester_detach(requester);
    assert_int_equal(daemon_stop(&ioreqd), 0);
}

static void silent_peer_is_cut_but_no_attached_or_waiting_one(void **state)
{
    (void)state;
    ioreqd_start("");
    struct requester *requester = daemon_attach(&ioreqd, "guest");
    int waiting = daemon_connect(&ioreqd);
    daemon_ask(&ioreqd, "client-create-external other model");
    assert_int_equal(wire_send_line(waiting, "client-attach other model"), 0);
    int silent = daemon_connect(&ioreqd), half = daemon_connect(&ioreqd);
    assert_int_equal(send(half, "stat", 4, MSG_NOSIGNAL), 4);
    assert_false(is_cut(silent, 200)); /* not at once */
    assert_true(is_cut(silent, 30000));
    assert_true(is_cut(half, 30000));
    assert_false(is_cut(waiting, 0));
    daemon_exercise(requester, 100);
    close(waiting), close(silent), close(half);
    requester_detach(requester);
    assert_int_equal(daemon_stop(&ioreqd), 0);
}

/* ---- descriptors ------------------------------------------------------------------------- */

/* The server hears of a peer's end a little later. Fewer than before: the one that asked whether the
 * server is ready was still open then. */
static void assert_no_more_than(uint32_t before)
{
    uint32_t after = 0;
    for (int i = 0; i < 1000 && (after = descriptors_count(ioreqd.pid)) > before; i++)
        daemon_pause();
    assert_in_range(after, 0, before);
}

#define PASSED_MAX 253 /* what one message may carry */

/* Sends text with count descriptors; the first line of what comes goes into reply. */
static void send_with(int count, const char *text, char *reply, size_t reply_bytes)
{
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(PASSED_MAX * sizeof(int))];
    } control = {0};
    int passed[PASSED_MAX];
    int peer = daemon_connect(&ioreqd);
    for (int i = 0; i < count; i++)
        passed[i] = STDIN_FILENO;
    struct iovec piece = {(char *)(uintptr_t)text, strlen(text)};
    struct msghdr message = {.msg_iov = &piece,
                             .msg_iovlen = 1,
                             .msg_control = control.bytes,
                             .msg_controllen = CMSG_SPACE((size_t)count * sizeof(int))};
    struct cmsghdr *rights = CMSG_FIRSTHDR(&message);
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN((size_t)count * sizeof(int));
    memcpy(CMSG_DATA(rights), passed, (size_t)count * sizeof(int));
    assert_int_equal(sendmsg(peer, &message, MSG_NOSIGNAL), (ssize_t)strlen(text));
    reply[0] = '\0';
    if (strchr(text, '\n'))
        assert_int_equal(wire_receive_line(peer, reply, reply_bytes, NULL), 0);
    close(peer);
}

static void row39_descriptors_that_come_with_a_line_are_closed(void **state)
{
    (void)state;
    static const struct {
        int count;
        const char *text, *reply;
    } cases[] = {
        {1, "status\n", "ok"},
        {1, "frobnicate\n", "error 22 unknown command"},
        {1, "half a li", ""},
        {2, "status\n", "error 22 at most one descriptor"},
        {PASSED_MAX, "status\n", "error 22 at most one descriptor"},
        {PASSED_MAX, "half a li", ""},
        {1, "attach nobody\n", "error 2 no VM"},
    };
    ioreqd_start("");
    uint32_t before = descriptors_count(ioreqd.pid);
    char reply[WIRE_LINE_MAX];
    for (int round = 0; round < 5; round++) {
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
            send_with(cases[i].count, cases[i].text, reply, sizeof(reply));
            if (strncmp(reply, cases[i].reply, strlen(cases[i].reply)) != 0)
                fail_msg("%d with %s: %s", cases[i].count, cases[i].text, reply);
        }
    }
    assert_no_more_than(before);
    assert_int_equal(daemon_stop(&ioreqd), 0);
}

static void requesters_and_peers_leave_no_descriptor_behind(void **state)
{
    (void)state;
    ioreqd_start("");
    requester_detach(daemon_attach(&ioreqd, "guest"));
    assert_int_equal(run_status(), 0);
    uint32_t before = descriptors_count(ioreqd.pid);
    for (int i = 0; i < 50; i++) {
        requester_detach(daemon_attach(&ioreqd, "guest"));
        assert_true(daemon_answers(&ioreqd));
    }
    assert_no_more_than(before);
    assert_int_equal(daemon_stop(&ioreqd), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        IOREQD_TEST(socket_is_its_owners_unless_others_are_allowed),
        IOREQD_TEST(user_who_is_allowed_attaches),
        IOREQD_TEST(file_in_the_sockets_place_is_left_alone),
        IOREQD_TEST(silent_peers_lock_nobody_out),
        IOREQD_TEST(silent_peer_is_cut_but_no_attached_or_waiting_one),
        IOREQD_TEST(row39_descriptors_that_come_with_a_line_are_closed),
        IOREQD_TEST(requesters_and_peers_leave_no_descriptor_behind),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
