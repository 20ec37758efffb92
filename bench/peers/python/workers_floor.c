/* Two workers without a library: what it costs at least that one hands a connection over to the other. `workers_floor PORT`.
 * Each answers with its process id, which also is the id of the sessions it opens; a POST for a session of the other goes
 * there with its connection, and is answered there. */

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <signal.h>
#include <unistd.h>

static int queue;

static void watch(int fd) {
    struct epoll_event event = {.events = EPOLLIN | EPOLLRDHUP | EPOLLET, .data.fd = fd};
    epoll_ctl(queue, EPOLL_CTL_ADD, fd, &event);
}

static void answer(int fd, const char *request) {
    char body[64], response[256];
    if (strstr(request, "transport=polling") && !strstr(request, "sid="))
        snprintf(body, sizeof body, "0{\"sid\":\"%d\"}", getpid());
    else
        snprintf(body, sizeof body, "%d", getpid());
    int size = snprintf(response, sizeof response,
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %zu\r\n\r\n%s", strlen(body), body);
    send(fd, response, size, MSG_NOSIGNAL);
}

/* Sends or receives a request with its connection. */
static ssize_t pass(int link, char *request, size_t size, int *fd, int sends) {
    char space[CMSG_SPACE(sizeof(int))] = {0};
    struct iovec bytes = {request, size};
    struct msghdr message = {.msg_iov = &bytes, .msg_iovlen = 1, .msg_control = space, .msg_controllen = sizeof space};
    struct cmsghdr *control = CMSG_FIRSTHDR(&message);
    if (!sends) {
        ssize_t received = recvmsg(link, &message, MSG_CMSG_CLOEXEC);
        if (received > 0)
            memcpy(fd, CMSG_DATA(control), sizeof *fd);
        return received;
    }
    control->cmsg_level = SOL_SOCKET;
    control->cmsg_type = SCM_RIGHTS;
    control->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(control), fd, sizeof *fd);
    return sendmsg(link, &message, MSG_NOSIGNAL);
}

static void work(int port, int link) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), on = 1, fd;
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    setsockopt(listener, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on);
    if (bind(listener, (struct sockaddr *)&address, sizeof address) || listen(listener, 1024))
        exit(1);
    queue = epoll_create1(EPOLL_CLOEXEC);
    watch(listener);
    watch(link);
    for (;;) {
        struct epoll_event events[64];
        char request[8192];
        for (int count = epoll_wait(queue, events, 64, -1), i = 0; i < count; i++) {
            int from = events[i].data.fd;
            if (from == listener) {
                while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0)
                    watch(fd);
                continue;
            }
            ssize_t size;
            if (from == link) {
                while ((size = pass(link, request, sizeof request - 1, &fd, 0)) > 0) {
                    request[size] = 0;
                    watch(fd);
                    answer(fd, request);
                }
                continue;
            }
            size = recv(from, request, sizeof request - 1, 0);
            if (size <= 0) {
                close(from);
                continue;
            }
            request[size] = 0;
            const char *session = strstr(request, "sid=");
            if (!session || atoi(session + 4) == getpid()) {
                answer(from, request);
                continue;
            }
            epoll_ctl(queue, EPOLL_CTL_DEL, from, NULL);
            pass(link, request, size, &from, 1);
            close(from);
        }
    }
}

int main(int count, char **arguments) {
    int links[2];
    if (count < 2 || socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, links))
        return 1;
    for (int i = 0; i < 2; i++)
        if (fork() == 0) {
            prctl(PR_SET_PDEATHSIG, SIGKILL);
            work(atoi(arguments[1]), links[i]);
        }
    wait(NULL);
    return 1;
}
