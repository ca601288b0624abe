/* SPDX-License-Identifier: BSD-3-Clause */
/* ioreqd's socket: who may connect, and what is done about silent peers and descriptors that nobody
 * asked for. */
#include "tests/support/daemon.h"

#include <dirent.h>
#include <poll.h>
#include <sys/socket.h>

static struct daemon ioreqd;

static int init(void **state)
{
    (void)state;
    daemon_init(&ioreqd);
    return 0;
}

static int fini(void **state)
{
    (void)state;
    daemon_fini(&ioreqd);
    return 0;
}

static void start(const char *extra)
{
    daemon_write_config(&ioreqd, "none", extra);
    daemon_start(&ioreqd);
}

static int connect_peer(void)
{
    int peer = wire_connect(ioreqd.socket);
    assert_true(peer >= 0);
    return peer;
}

/* One line, and the first one of its reply, which must be ok. */
static void ask(const char *line)
{
    char reply[WIRE_LINE_MAX];
    int peer = connect_peer();
    assert_int_equal(wire_send_line(peer, "%s", line), 0);
    assert_int_equal(wire_receive_line(peer, reply, sizeof(reply), NULL), 0);
    assert_string_equal(reply, "ok");
    close(peer);
}

static int run_status(void)
{
    struct daemon ctl = ioreqd;
    snprintf(ctl.out, sizeof(ctl.out), "%s/ctl-out", ioreqd.folder);
    snprintf(ctl.err, sizeof(ctl.err), "%s/ctl-err", ioreqd.folder);
    const char *const arguments[] = {BINARY_DIR "/ioreqctl", "--socket", ioreqd.socket, "status",
                                     NULL};
    daemon_spawn(&ctl, arguments);
    return daemon_wait(&ctl);
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
    start("");
    assert_int_equal(socket_mode(), 0600);
    assert_int_equal(daemon_stop(&ioreqd), 0);
    umask(077);
    start(", allowed_uids: [12345]");
    assert_int_equal(socket_mode(), 0666);
    assert_int_equal(daemon_stop(&ioreqd), 0);
    umask(mask);
}

static void user_who_is_allowed_attaches(void **state)
{
    (void)state;
    if (geteuid() != 0) {
        print_message("skip: only root can become somebody else\n");
        skip();
    }
    start(", allowed_uids: [12345, 65534]");
    pid_t child = fork();
    assert_true(child >= 0);
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
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
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
    start("");
    struct requester *requester = daemon_attach(&ioreqd, "guest");
    int peers[SILENT_PEERS];
    for (int i = 0; i < SILENT_PEERS; i++)
        peers[i] = connect_peer();
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
    start("");
    struct requester *requester = daemon_attach(&ioreqd, "guest");
    int waiting = connect_peer();
    ask("client-create-external other model");
    assert_int_equal(wire_send_line(waiting, "client-attach other model"), 0);
    int silent = connect_peer(), half = connect_peer();
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

static int count_descriptors(pid_t pid)
{
    char path[64];
    int count = 0;
    snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
    DIR *folder = opendir(path);
    assert_non_null(folder);
    while (readdir(folder))
        count++;
    closedir(folder);
    return count;
}

/* The server hears of a peer's end a little later. Fewer than before: the one that asked whether the
 * server is ready was still open then. */
static void assert_no_more_than(int before)
{
    int after = 0;
    for (int i = 0; i < 1000 && (after = count_descriptors(ioreqd.pid)) > before; i++)
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
    int peer = connect_peer();
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
    start("");
    int before = count_descriptors(ioreqd.pid);
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
    start("");
    requester_detach(daemon_attach(&ioreqd, "guest"));
    assert_int_equal(run_status(), 0);
    int before = count_descriptors(ioreqd.pid);
    for (int i = 0; i < 50; i++) {
        requester_detach(daemon_attach(&ioreqd, "guest"));
        assert_true(daemon_answers(&ioreqd));
    }
    assert_no_more_than(before);
    assert_int_equal(daemon_stop(&ioreqd), 0);
}

#define DAEMON_TEST(function) cmocka_unit_test_setup_teardown(function, init, fini)

int main(void)
{
    const struct CMUnitTest tests[] = {
        DAEMON_TEST(socket_is_its_owners_unless_others_are_allowed),
        DAEMON_TEST(user_who_is_allowed_attaches),
        DAEMON_TEST(file_in_the_sockets_place_is_left_alone),
        DAEMON_TEST(silent_peers_lock_nobody_out),
        DAEMON_TEST(silent_peer_is_cut_but_no_attached_or_waiting_one),
        DAEMON_TEST(row39_descriptors_that_come_with_a_line_are_closed),
        DAEMON_TEST(requesters_and_peers_leave_no_descriptor_behind),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
