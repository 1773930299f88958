/* Sockets of the network. */
#include "row.h"
#include <arpa/inet.h>
#include <linux/filter.h>
#include <linux/if_packet.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <netinet/ip_icmp.h>
#include <netinet/tcp.h>
#include <poll.h>

static struct sockaddr_in local(int port) {
    return (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

/* A connection in the container with numbers in it that nobody has read yet. */
static void connected(int ends[2], int family) {
    int listener = (int)MUST(socket(family, SOCK_STREAM, 0));
    struct sockaddr_storage address = {.ss_family = family};
    socklen_t length = sizeof address;
    if (family == AF_INET6) ((struct sockaddr_in6 *)&address)->sin6_addr = in6addr_loopback;
    else ((struct sockaddr_in *)&address)->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    MUST(bind(listener, (void *)&address, family == AF_INET6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in)));
    MUST(listen(listener, 8));
    MUST(getsockname(listener, (void *)&address, &length));
    ends[0] = (int)MUST(socket(family, SOCK_STREAM, 0));
    MUST(connect(ends[0], (void *)&address, length));
    ends[1] = (int)MUST(accept(listener, NULL, NULL));
}
static void tcp_of(int family) {
    int ends[2];
    connected(ends, family);
    uint32_t next = 0, wanted = 0, got;
    for (; next < 1000; next++) MUST(write(ends[0], &next, 4));
    for (;;) {
        HOLDS(recv(ends[1], &got, 4, MSG_WAITALL) == 4);
        if (got != wanted++) broken("%u came instead of %u", got, wanted - 1);
        HOLDS(write(ends[0], &next, 4) == 4);
        next++;
        ok();
    }
}
static void tcp(void) { tcp_of(AF_INET); }
static void tcp6(void) { tcp_of(AF_INET6); }

/* One end has said that it sends no more. */
static void half_closed(void) {
    int ends[2];
    connected(ends, AF_INET);
    MUST(shutdown(ends[0], SHUT_WR));
    char byte;
    MUST(recv(ends[1], &byte, 1, 0));
    for (uint32_t round = 0;; round++) {
        uint32_t got;
        HOLDS(write(ends[1], &round, 4) == 4);
        ok();
        HOLDS(recv(ends[0], &got, 4, MSG_WAITALL) == 4 && got == round);
        HOLDS(recv(ends[1], &byte, 1, MSG_DONTWAIT) == 0);
    }
}

/* A listener that accepts, all the time, with options of its own. */
static void listener_row(void) {
    int listener = (int)MUST(socket(AF_INET, SOCK_STREAM, 0)), one = 1, idle = 77, value;
    struct sockaddr_in address = local(7100);
    MUST(setsockopt(listener, SOL_SOCKET, SO_REUSEPORT, &one, sizeof one));
    MUST(setsockopt(listener, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof one));
    MUST(setsockopt(listener, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof idle));
    MUST(setsockopt(listener, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one));
    MUST(bind(listener, (void *)&address, sizeof address));
    MUST(listen(listener, 8));
    for (;;) {
        int client = (int)MUST(socket(AF_INET, SOCK_STREAM, 0)), server;
        HOLDS(connect(client, (void *)&address, sizeof address) == 0);
        HOLDS((server = accept(listener, NULL, NULL)) >= 0);
        char text[4] = {0};
        HOLDS(write(client, "abc", 3) == 3 && recv(server, text, 3, MSG_WAITALL) == 3 && !strcmp(text, "abc"));
        close(client), close(server);
        socklen_t length = sizeof value;
        HOLDS(getsockopt(listener, IPPROTO_TCP, TCP_KEEPIDLE, &value, &length) == 0 && value == 77);
        HOLDS(getsockopt(listener, IPPROTO_TCP, TCP_NODELAY, &value, &length) == 0 && value == 1);
        HOLDS(getsockopt(listener, SOL_SOCKET, SO_REUSEPORT, &value, &length) == 0 && value == 1);
        ok();
    }
}

/* Sends itself datagrams; one may be lost. */
static void echo(int socket, struct sockaddr *to, socklen_t length) {
    for (uint32_t round = 0;; round++) {
        uint32_t got = ~round;
        for (int i = 0; i < 5 && got != round; i++) {
            struct pollfd ready = {.fd = socket, .events = POLLIN};
            HOLDS(sendto(socket, &round, 4, 0, to, length) == 4);
            while (got != round && poll(&ready, 1, 1000) == 1) HOLDS(recv(socket, &got, 4, 0) == 4);
        }
        if (got != round) broken("datagram %u does not come", round);
        ok();
    }
}
static void udp(void) {
    int socket_ = (int)MUST(socket(AF_INET, SOCK_DGRAM, 0));
    struct sockaddr_in address = local(7101);
    MUST(bind(socket_, (void *)&address, sizeof address));
    echo(socket_, (void *)&address, sizeof address);
}
static void multicast(void) {
    int socket_ = (int)MUST(socket(AF_INET, SOCK_DGRAM, 0));
    struct sockaddr_in address = local(7102), group = {.sin_family = AF_INET, .sin_port = htons(7102)};
    group.sin_addr.s_addr = inet_addr("239.1.2.3");
    address.sin_addr.s_addr = 0;
    MUST(bind(socket_, (void *)&address, sizeof address));
    struct ip_mreqn member = {.imr_multiaddr = group.sin_addr, .imr_ifindex = (int)if_nametoindex("eth0")};
    MUST(setsockopt(socket_, IPPROTO_IP, IP_ADD_MEMBERSHIP, &member, sizeof member));
    MUST(setsockopt(socket_, IPPROTO_IP, IP_MULTICAST_IF, &member, sizeof member));
    echo(socket_, (void *)&group, sizeof group);
}

static void raw(void) {
    int socket_ = (int)MUST(socket(AF_INET, SOCK_RAW, IPPROTO_ICMP));
    struct sockaddr_in address = local(0);
    for (uint16_t round = 0;; round++) {
        struct icmphdr request = {.type = ICMP_ECHO, .un.echo = {7, round}};
        uint32_t sum = 0;
        for (size_t i = 0; i < sizeof request / 2; i++) sum += ((uint16_t *)&request)[i];
        request.checksum = (uint16_t) ~((sum & 0xffff) + (sum >> 16));
        int found = 0;
        for (int i = 0; i < 5 && !found; i++) {
            HOLDS(sendto(socket_, &request, sizeof request, 0, (void *)&address, sizeof address) == sizeof request);
            struct pollfd ready = {.fd = socket_, .events = POLLIN};
            /* Others' messages come all the time: what is lost must not be waited for as long as they do. */
            for (int others = 0; others < 200 && !found && poll(&ready, 1, 1000) == 1; others++) {
                unsigned char packet[128];
                HOLDS(recv(socket_, packet, sizeof packet, 0) >= 28);
                found = packet[20] == ICMP_ECHOREPLY && !memcmp(packet + 26, &round, 2);
            }
        }
        if (!found) broken("no echo of %u", round);
        ok();
    }
}

/* Sees what goes through the loopback. */
static void packet(void) {
    int socket_ = (int)MUST(socket(AF_PACKET, SOCK_DGRAM, htons(ETH_P_IP))), sender = (int)MUST(socket(AF_INET, SOCK_DGRAM, 0));
    struct sockaddr_ll lo = {.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_IP), .sll_ifindex = (int)if_nametoindex("lo")};
    MUST(bind(socket_, (void *)&lo, sizeof lo));
    struct sockaddr_in address = local(7103);
    for (uint32_t round = 0;; round++) {
        int found = 0;
        for (int i = 0; i < 5 && !found; i++) {
            sendto(sender, &round, 4, 0, (void *)&address, sizeof address);
            struct pollfd ready = {.fd = socket_, .events = POLLIN};
            for (int others = 0; others < 200 && !found && poll(&ready, 1, 1000) == 1; others++) {
                unsigned char data[256];
                found = recv(socket_, data, sizeof data, 0) >= 32 && !memcmp(data + 28, &round, 4);
            }
        }
        if (!found) broken("packet %u is not seen", round);
        ok();
    }
}

/* Asks the kernel for its interfaces. */
static void netlink(void) {
    int socket_ = (int)MUST(socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE));
    struct sockaddr_nl own = {.nl_family = AF_NETLINK};
    MUST(bind(socket_, (void *)&own, sizeof own));
    for (uint32_t round = 1;; round++) {
        struct {
            struct nlmsghdr header;
            struct rtgenmsg body;
        } request = {{sizeof request, RTM_GETLINK, NLM_F_REQUEST | NLM_F_DUMP, round, 0}, {AF_UNSPEC}};
        HOLDS(send(socket_, &request, sizeof request, 0) == sizeof request);
        for (int done = 0; !done;) {
            static char answer[65536];
            ssize_t length;
            HOLDS((length = recv(socket_, answer, sizeof answer, 0)) > 0);
            for (struct nlmsghdr *at = (void *)answer; NLMSG_OK(at, length); at = NLMSG_NEXT(at, length)) {
                HOLDS(at->nlmsg_seq == round && at->nlmsg_type != NLMSG_ERROR);
                done = at->nlmsg_type == NLMSG_DONE;
            }
        }
        ok();
    }
}

/* Only datagrams that begin with the byte 1 come in. */
static void socket_filter(void) {
    int socket_ = (int)MUST(socket(AF_INET, SOCK_DGRAM, 0));
    struct sockaddr_in address = local(7104);
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 8),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 1, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, 0xffff),
        BPF_STMT(BPF_RET | BPF_K, 0),
    };
    struct sock_fprog program = {4, code};
    MUST(bind(socket_, (void *)&address, sizeof address));
    MUST(setsockopt(socket_, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program));
    for (;;) {
        char bad[2] = {2, 2}, good[2] = {1, 1}, got[2];
        int came = 0;
        for (int i = 0; i < 5 && !came; i++) {
            sendto(socket_, bad, 2, 0, (void *)&address, sizeof address);
            sendto(socket_, good, 2, 0, (void *)&address, sizeof address);
            struct pollfd ready = {.fd = socket_, .events = POLLIN};
            while (poll(&ready, 1, came ? 0 : 1000) == 1) {
                HOLDS(recv(socket_, got, 2, 0) == 2 && got[0] == 1);
                came = 1;
            }
        }
        HOLDS(came);
        ok();
    }
}

const struct row socket_rows[] = {{"tcp", tcp},
                                  {"tcp6", tcp6},
                                  {"half-closed", half_closed},
                                  {"listener", listener_row},
                                  {"udp", udp},
                                  {"multicast", multicast},
                                  {"raw-socket", raw},
                                  {"packet-socket", packet},
                                  {"netlink", netlink},
                                  {"socket-filter", socket_filter},
                                  {0}};
