/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/socket/wire.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

struct pair {
    int near_fd; /* ours */
    int far_fd;  /* the server's */
};

static int pair_setup(void **state)
{
    static struct pair pair;
    int fds[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    pair.near_fd = fds[0];
    pair.far_fd = fds[1];
    *state = &pair;
    return 0;
}

static int pair_teardown(void **state)
{
    struct pair *pair = *state;
    close(pair->near_fd);
    if (pair->far_fd >= 0)
        close(pair->far_fd);
    return 0;
}

static size_t open_descriptors(void)
{
    size_t count = 0;
    for (int fd = 0; fd < 256; fd++)
        count += fcntl(fd, F_GETFD) >= 0;
    return count;
}

/* Sends text with count descriptors of /dev/null. */
static void send_with_descriptors(int socket_fd, const char *text, size_t count)
{
    int fds[8];
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(sizeof(fds))];
    } control = {0};
    struct iovec piece = {.iov_base = (char *)(uintptr_t)text, .iov_len = strlen(text)};
    struct msghdr message = {.msg_iov = &piece, .msg_iovlen = 1};
    assert_true(count >= 1 && count <= 8);
    for (size_t i = 0; i < count; i++)
        fds[i] = open("/dev/null", O_RDONLY | O_CLOEXEC);
    message.msg_control = control.bytes;
    message.msg_controllen = CMSG_SPACE(count * sizeof(int));
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(count * sizeof(int));
    memcpy(CMSG_DATA(header), fds, count * sizeof(int));
    assert_int_equal(sendmsg(socket_fd, &message, 0), strlen(text));
    for (size_t i = 0; i < count; i++)
        close(fds[i]);
}

static void send_text(int fd, const char *text)
{
    assert_int_equal(send(fd, text, strlen(text), 0), strlen(text));
}

static void connect_tells_why_it_fails(void **state)
{
    (void)state;
    char path[200];
    memset(path, 'x', sizeof(path) - 1);
    path[sizeof(path) - 1] = '\0';
    assert_int_equal(wire_connect(path), -ENAMETOOLONG);
    assert_int_equal(wire_connect(""), -ENOENT);
    assert_int_equal(wire_connect("/tmp/ioreqd-test-nobody-is-here"), -ENOENT);
}

static void receive_takes_one_line_and_nothing_behind_it(void **state)
{
    struct pair *pair = *state;
    char line[64];
    char rest[16] = {0};
    send_text(pair->far_fd, "ok\npayload");
    assert_int_equal(wire_receive_line(pair->near_fd, line, sizeof(line), NULL), 0);
    assert_string_equal(line, "ok");
    assert_int_equal(recv(pair->near_fd, rest, sizeof(rest), 0), 7);
    assert_string_equal(rest, "payload");
}

static void receive_refuses_an_overlong_line(void **state)
{
    struct pair *pair = *state;
    char line[8];
    send_text(pair->far_fd, "12345678\n");
    assert_int_equal(wire_receive_line(pair->near_fd, line, sizeof(line), NULL), -EMSGSIZE);
}

static void receive_takes_a_line_that_just_fits(void **state)
{
    struct pair *pair = *state;
    char line[8];
    send_text(pair->far_fd, "1234567\n");
    assert_int_equal(wire_receive_line(pair->near_fd, line, sizeof(line), NULL), 0);
    assert_string_equal(line, "1234567");
}

static void receive_tells_a_peer_that_left_inside_a_line(void **state)
{
    struct pair *pair = *state;
    char line[8];
    send_text(pair->far_fd, "ok");
    close(pair->far_fd);
    pair->far_fd = -1;
    assert_int_equal(wire_receive_line(pair->near_fd, line, sizeof(line), NULL), -ECONNRESET);
}

static void receive_refuses_a_zero_byte(void **state)
{
    struct pair *pair = *state;
    char line[8];
    assert_int_equal(send(pair->far_fd, "o\0k\n", 4, 0), 4);
    assert_int_equal(wire_receive_line(pair->near_fd, line, sizeof(line), NULL), -EPROTO);
}

static void receive_takes_one_descriptor(void **state)
{
    struct pair *pair = *state;
    char line[8];
    int fd = -1;
    send_with_descriptors(pair->far_fd, "ok\n", 1);
    assert_int_equal(wire_receive_line(pair->near_fd, line, sizeof(line), &fd), 0);
    assert_true(fd >= 0);
    assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    close(fd);
}

static void receive_without_a_descriptor_says_so(void **state)
{
    struct pair *pair = *state;
    char line[8];
    int fd = 0;
    send_text(pair->far_fd, "ok\n");
    assert_int_equal(wire_receive_line(pair->near_fd, line, sizeof(line), &fd), 0);
    assert_int_equal(fd, -1);
}

static void receive_closes_every_unexpected_descriptor(void **state)
{
    struct pair *pair = *state;
    char line[8];
    int fd = -1;
    size_t before = open_descriptors();
    send_with_descriptors(pair->far_fd, "ok\n", 1);
    assert_int_equal(wire_receive_line(pair->near_fd, line, sizeof(line), NULL), -EPROTO);
    while (recv(pair->near_fd, line, 1, MSG_DONTWAIT) == 1)
        ;
    send_with_descriptors(pair->far_fd, "ok\n", 8);
    assert_int_equal(wire_receive_line(pair->near_fd, line, sizeof(line), &fd), -EPROTO);
    assert_int_equal(fd, -1);
    assert_int_equal(open_descriptors(), before);
}

static void receive_closes_the_descriptor_of_a_bad_line(void **state)
{
    struct pair *pair = *state;
    char line[4];
    int fd = -1;
    size_t before = open_descriptors();
    send_with_descriptors(pair->far_fd, "too long\n", 1);
    assert_int_equal(wire_receive_line(pair->near_fd, line, sizeof(line), &fd), -EMSGSIZE);
    assert_int_equal(fd, -1);
    assert_int_equal(open_descriptors(), before);
}

static void send_refuses_what_is_not_one_line(void **state)
{
    struct pair *pair = *state;
    char text[WIRE_LINE_MAX + 1];
    memset(text, 'x', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    assert_int_equal(wire_send_line(pair->near_fd, "%s", text), -EMSGSIZE);
    assert_int_equal(wire_send_line(pair->near_fd, "attach %s", "a\nb"), -EINVAL);
}

static void send_adds_the_newline(void **state)
{
    struct pair *pair = *state;
    char text[32] = {0};
    assert_int_equal(wire_send_line(pair->near_fd, "attach %s", "guest"), 0);
    assert_true(recv(pair->far_fd, text, sizeof(text) - 1, 0) > 0);
    assert_string_equal(text, "attach guest\n");
}

static void send_to_nobody_is_an_error_and_no_signal(void **state)
{
    struct pair *pair = *state;
    close(pair->far_fd);
    pair->far_fd = -1;
    assert_int_equal(wire_send_line(pair->near_fd, "status"), -EPIPE);
}

static void replies_are_taken_apart(void **state)
{
    (void)state;
    const char *text;
    assert_int_equal(wire_parse_reply("ok", &text), 0);
    assert_string_equal(text, "");
    assert_int_equal(wire_parse_reply("ok vcpus=4", &text), 0);
    assert_string_equal(text, "vcpus=4");
    assert_int_equal(wire_parse_reply("error 16 somebody else plays it", &text), -EBUSY);
    assert_string_equal(text, "somebody else plays it");
    assert_int_equal(wire_parse_reply("error 2", &text), -ENOENT);
    assert_string_equal(text, "");
}

static void nonsense_replies_are_refused(void **state)
{
    (void)state;
    static const char *const nonsense[] = {
        "",
        "okay",
        "OK",
        "error",
        "error ",
        "error x no",
        "error 0",
        "error -2",
        "error 2x",
        "error 4096",
        "error 99999999999999999999",
    };
    const char *text;
    for (size_t i = 0; i < sizeof(nonsense) / sizeof(nonsense[0]); i++) {
        assert_int_equal(wire_parse_reply(nonsense[i], &text), -EPROTO);
        assert_string_equal(text, nonsense[i]);
    }
}

#define WITH_PAIR(test) cmocka_unit_test_setup_teardown(test, pair_setup, pair_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(connect_tells_why_it_fails),
        WITH_PAIR(receive_takes_one_line_and_nothing_behind_it),
        WITH_PAIR(receive_refuses_an_overlong_line),
        WITH_PAIR(receive_takes_a_line_that_just_fits),
        WITH_PAIR(receive_tells_a_peer_that_left_inside_a_line),
        WITH_PAIR(receive_refuses_a_zero_byte),
        WITH_PAIR(receive_takes_one_descriptor),
        WITH_PAIR(receive_without_a_descriptor_says_so),
        WITH_PAIR(receive_closes_every_unexpected_descriptor),
        WITH_PAIR(receive_closes_the_descriptor_of_a_bad_line),
        WITH_PAIR(send_refuses_what_is_not_one_line),
        WITH_PAIR(send_adds_the_newline),
        WITH_PAIR(send_to_nobody_is_an_error_and_no_signal),
        cmocka_unit_test(replies_are_taken_apart),
        cmocka_unit_test(nonsense_replies_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
