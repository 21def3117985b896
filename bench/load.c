/* The far ends of many calls: for each one a phone (RTP) and an agent (WebSocket) that says back
 * what it hears. One epoll set, one thread for all audio; cheap enough to load a gateway on the core
 * beside it.
 *
 *   load CALLS SECONDS SETTLE [option=value ...]
 *                 binds the phones, prints their ports in one line, then reads from standard input
 *                 one line a call: "RTP_PORT HTTP_PORT PATH"
 *   packets=FILE  what every phone sends instead of its own u-law: RTP packets of a length (two
 *                 bytes, big endian) and as many bytes each, numbered from 0
 *   units=N       RTP clock units of a packet (160)
 *   marks=u|a|none  how frames carry their number, see below
 *   rate=HZ       the agent asks for this sample rate
 *   ahead=N       the agent says its first frame N times more, and is that much ahead from then on
 *   loss, reorder, duplicate, burst=P   how often a packet is not sent, sent after one to three
 *                 later ones, sent twice, or held back with the next two to ten to come all at once
 *   calm=S        all that not while measuring but before, until S seconds before
 *   late=1        calls begin as their lines come, at most CALLS of them
 *   seed=N
 *
 * Every packet of a phone carries its number in its last eight samples (two bits each, in codes of
 * G.711 that survive), so that each can be told on both ways. Where that does not survive (other
 * codecs, SRTP) frames are told by their order. After SETTLE seconds it measures for SECONDS, and
 * disturbs what it sends; at the end it prints one JSON object.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#define FRAME_NS 20000000LL
#define SAMPLES 160
#define RING 1024
#define HISTOGRAM 100000 /* of 10 us */
#define BUFFER 8192
#define HELD 16

typedef struct {
    int phone, agent;
    atomic_int opened;
    struct sockaddr_in gateway;
    uint16_t sequence;
    uint32_t ssrc;
    uint16_t held[HELD];
    int holding, hold_for;
    int32_t highest; /* sequence number that was sent */
    uint64_t distinct;
    int lead;
    int ordered; /* whether the next two are known */
    uint16_t next_heard, next_back;
    int64_t due, arrived;
    int64_t sent[RING], answered[RING];
    uint16_t number[RING];
    uint8_t returned[RING];
    uint8_t buffer[BUFFER];
    size_t filled;
} call_t;

typedef struct {
    uint32_t bin[HISTOGRAM];
    uint64_t count;
    int64_t longest;
} histogram_t;

static call_t *calls;
static histogram_t gaps, inward, outward, around;
static uint64_t sent, returned, strange, heard, twice, held_back;
static int epoll, measuring, disturbing, late;
static double calm = -1;
static double loss, reorder, duplicate, burst;
static uint64_t seed = 1;
static uint32_t units = SAMPLES;
static char marks = 'u';
static int agent_rate, ahead;
static uint8_t **stream;
static size_t streamed;

static int64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static void die(const char *what) {
    perror(what);
    exit(2);
}

static void note(histogram_t *h, int64_t ns) {
    int64_t bin = ns / 10000;
    h->bin[bin < 0 ? 0 : bin >= HISTOGRAM ? HISTOGRAM - 1 : bin]++;
    h->count++;
    if (ns > h->longest) h->longest = ns;
}

static double percentile(const histogram_t *h, double share) {
    uint64_t wanted = (uint64_t)(h->count * share), seen = 0;
    for (int i = 0; i < HISTOGRAM; i++)
        if ((seen += h->bin[i]) > wanted) return i / 100.0;
    return h->longest / 1e6;
}

static double above(const histogram_t *h, double ms) {
    uint64_t count = 0;
    for (int i = (int)(ms * 100); i < HISTOGRAM; i++) count += h->bin[i];
    return h->count ? (double)count / h->count : 0;
}

static double chance(void) {
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return (seed >> 11) / 9007199254740992.0;
}

static int16_t linear(uint8_t code) {
    if (marks == 'a') {
        code ^= 0x55;
        int magnitude = (code & 0x0f) << 4, segment = code >> 4 & 7;
        magnitude = segment ? (magnitude + 0x108) << (segment - 1) : magnitude + 8;
        return code & 0x80 ? magnitude : -magnitude;
    }
    code = ~code;
    int magnitude = ((((code & 0x0f) << 3) + 132) << ((code >> 4) & 7)) - 132;
    return code & 0x80 ? -magnitude : magnitude;
}

static void mark(uint8_t *codes, uint16_t number) {
    for (int i = 0; i < 8; i++) codes[i] = 0x10 + (number >> (14 - 2 * i) & 3);
}

static int read_codes(const uint8_t *codes) {
    int number = 0;
    for (int i = 0; i < 8; i++) {
        if (codes[i] < 0x10 || codes[i] > 0x13) return -1;
        number = number << 2 | (codes[i] - 0x10);
    }
    return number;
}

static int read_linear(const uint8_t *pcm) {
    uint8_t codes[8];
    for (int i = 0; i < 8; i++) {
        int16_t value;
        memcpy(&value, pcm + 2 * i, 2);
        codes[i] = 0;
        for (int k = 0; k < 4; k++)
            if (linear(0x10 + k) == value) codes[i] = 0x10 + k;
    }
    return read_codes(codes);
}

static void send_packet(call_t *call, uint16_t number) {
    uint8_t own[12 + SAMPLES], *packet = own;
    size_t size = sizeof own;
    if (stream) {
        if (number >= streamed) return;
        packet = stream[number] + 2;
        size = stream[number][0] << 8 | stream[number][1];
    } else {
        uint16_t sequence = htons(number);
        uint32_t timestamp = htonl(number * units), ssrc = htonl(call->ssrc);
        packet[0] = 0x80;
        packet[1] = 0;
        memcpy(packet + 2, &sequence, 2);
        memcpy(packet + 4, &timestamp, 4);
        memcpy(packet + 8, &ssrc, 4);
        for (int i = 0; i < SAMPLES; i++) packet[12 + i] = i & 1 ? 0xa0 : 0x20;
        mark(packet + 12 + SAMPLES - 8, number);
    }
    sendto(call->phone, packet, size, 0, (struct sockaddr *)&call->gateway,
           sizeof call->gateway);
}

static void transmit(call_t *call, uint16_t number, int64_t now) {
    int slot = number % RING;
    call->number[slot] = number;
    call->sent[slot] = measuring ? now : 0;
    call->answered[slot] = 0;
    call->returned[slot] = 0;
    if (measuring) sent++;
    if (number > call->highest) call->highest = number;
    call->distinct++;
    send_packet(call, number);
    if (disturbing && chance() < duplicate) {
        twice++;
        send_packet(call, number);
    }
}

static void say(call_t *call, int64_t now) {
    uint16_t number = call->sequence++;
    if (measuring && !call->ordered) {
        call->ordered = 1;
        call->next_heard = call->next_back = number;
    }
    if (!call->holding && disturbing && chance() < burst) call->hold_for = 2 + chance() * 9;
    if (call->hold_for) {
        held_back++;
        call->held[call->holding++] = number;
        if (--call->hold_for == 0) {
            for (int i = 0; i < call->holding; i++) transmit(call, call->held[i], now);
            call->holding = 0;
        }
        return;
    }
    if (disturbing && chance() < loss) return;
    if (!call->holding && disturbing && chance() < reorder) {
        held_back++;
        call->held[call->holding++] = number;
        return;
    }
    transmit(call, number, now);
    if (call->holding && (number - call->held[0] >= 3 || !disturbing || chance() < 0.5)) {
        transmit(call, call->held[0], now);
        call->holding = 0;
    }
}

static void phone_hears(call_t *call) {
    uint8_t packet[2048];
    ssize_t size = recv(call->phone, packet, sizeof packet, 0);
    int64_t now = now_ns();
    if (size < 14 || (packet[1] >= 192 && packet[1] <= 223)) return;
    if (measuring && call->arrived) note(&gaps, now - call->arrived);
    call->arrived = now;
    int number = -1;
    if (marks == 'n')
        number = call->ordered ? call->next_back++ : -1;
    else if (size == 12 + SAMPLES)
        number = read_codes(packet + 12 + SAMPLES - 8);
    if (number < 0) {
        strange += measuring;
        return;
    }
    int slot = number % RING;
    if (marks == 'n' && returned < sent) returned++;
    if (call->number[slot] != number || !call->sent[slot] || call->returned[slot]) return;
    call->returned[slot] = 1;
    returned += marks != 'n';
    note(&around, now - call->sent[slot]);
    if (call->answered[slot]) note(&outward, now - call->answered[slot]);
}

static void agent_says(call_t *call, const uint8_t *pcm, size_t size) {
    uint8_t frame[BUFFER];
    const uint8_t key[4] = {0x37, 0xfa, 0x21, 0x3d};
    frame[0] = 0x82;
    frame[1] = 0x80 | 126;
    frame[2] = size >> 8;
    frame[3] = size & 0xff;
    memcpy(frame + 4, key, 4);
    for (size_t i = 0; i < size; i++) frame[8 + i] = pcm[i] ^ key[i & 3];
    if (send(call->agent, frame, 8 + size, MSG_NOSIGNAL) < 0 && errno != EAGAIN) die("agent");
}

static void agent_hears(call_t *call) {
    ssize_t size = recv(call->agent, call->buffer + call->filled, BUFFER - call->filled, 0);
    if (size <= 0) {
        if (size < 0 && errno == EAGAIN) return;
        close(call->agent);
        call->agent = -1;
        return;
    }
    int64_t now = now_ns();
    call->filled += size;
    size_t at = 0;
    while (call->filled - at >= 2) {
        const uint8_t *frame = call->buffer + at;
        size_t length = frame[1] & 0x7f, head = 2;
        if (length == 126) {
            if (call->filled - at < 4) break;
            length = frame[2] << 8 | frame[3];
            head = 4;
        }
        if (call->filled - at < head + length) break;
        if ((frame[0] & 0x0f) == 2) {
            heard += measuring;
            int number = -1;
            if (marks == 'n')
                number = call->ordered ? call->next_heard++ : -1;
            else if (length >= 16)
                number = read_linear(frame + head + length - 16);
            if (number >= 0) {
                int slot = number % RING;
                if (call->number[slot] == number && call->sent[slot]) {
                    note(&inward, now - call->sent[slot]);
                    call->answered[slot] = now_ns();
                }
            }
            if (number >= 0 || marks == 'n' || loss + reorder + duplicate + burst > 0)
                do agent_says(call, frame + head, length);
                while (call->lead++ < ahead);
        }
        at += head + length;
    }
    memmove(call->buffer, call->buffer + at, call->filled - at);
    call->filled -= at;
}

static void connect_agent(call_t *call, int port, const char *path) {
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
    char text[2048];
    int one = 1;
    inet_pton(AF_INET, "127.0.0.1", &to.sin_addr);
    call->agent = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(call->agent, (struct sockaddr *)&to, sizeof to) < 0) die("connect");
    setsockopt(call->agent, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    int size = snprintf(text, sizeof text,
                        "GET %s HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\n"
                        "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
                        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
                        path);
    if (write(call->agent, text, size) != size) die("write");
    size_t filled = 0;
    char *end = NULL;
    while (!end) {
        ssize_t more = read(call->agent, text + filled, sizeof text - 1 - filled);
        if (more <= 0) die("handshake");
        filled += more;
        text[filled] = 0;
        end = strstr(text, "\r\n\r\n");
    }
    if (strncmp(text, "HTTP/1.1 101", 12)) {
        fprintf(stderr, "%s\n", text);
        exit(2);
    }
    call->filled = filled - (end + 4 - text);
    memcpy(call->buffer, end + 4, call->filled);
    char config[100];
    int length = snprintf(config, sizeof config, "{\"type\":\"audio_config\",\"receive\":true");
    if (agent_rate)
        length += snprintf(config + length, sizeof config - length, ",\"sample_rate\":%d",
                           agent_rate);
    config[length++] = '}';
    uint8_t frame[128] = {0x81, 0x80 | length, 0, 0, 0, 0};
    memcpy(frame + 6, config, length);
    if (write(call->agent, frame, 6 + length) < 0) die("write");
    fcntl(call->agent, F_SETFL, O_NONBLOCK);
}

static void print(const char *name, const histogram_t *h) {
    printf("\"%s\": {\"count\": %lu, \"p50\": %.2f, \"p99\": %.2f, \"p999\": %.2f, "
           "\"longest\": %.2f, \"above_25\": %.6f, \"above_30\": %.6f}, ",
           name, h->count, percentile(h, 0.5), percentile(h, 0.99), percentile(h, 0.999),
           h->longest / 1e6, above(h, 25), above(h, 30));
}

static void read_stream(const char *path) {
    FILE *file = fopen(path, "rb");
    if (!file) die(path);
    uint8_t size[2];
    while (fread(size, 1, 2, file) == 2) {
        size_t bytes = size[0] << 8 | size[1];
        if (!(streamed & 1023)) stream = realloc(stream, (streamed + 1024) * sizeof *stream);
        stream[streamed] = malloc(2 + bytes);
        memcpy(stream[streamed], size, 2);
        if (fread(stream[streamed++] + 2, 1, bytes, file) != bytes) die(path);
    }
    fclose(file);
}

static int take_option(char *text) {
    char *value = strchr(text, '=');
    if (!value) return 0;
    *value++ = 0;
    if (!strcmp(text, "packets")) read_stream(value);
    else if (!strcmp(text, "units")) units = atoi(value);
    else if (!strcmp(text, "marks")) marks = value[0];
    else if (!strcmp(text, "rate")) agent_rate = atoi(value);
    else if (!strcmp(text, "ahead")) ahead = atoi(value);
    else if (!strcmp(text, "loss")) loss = atof(value);
    else if (!strcmp(text, "reorder")) reorder = atof(value);
    else if (!strcmp(text, "duplicate")) duplicate = atof(value);
    else if (!strcmp(text, "burst")) burst = atof(value);
    else if (!strcmp(text, "late")) late = atoi(value);
    else if (!strcmp(text, "calm")) calm = atof(value);
    else if (!strcmp(text, "seed")) seed = strtoull(value, NULL, 10) | 1;
    else return 0;
    return 1;
}

/* The calls of the lines on standard input: RTP port, HTTP port and path. NULL: one for each
 * phone. In a thread of its own where they come late, so that no audio waits for a handshake. */
static void *open_calls(void *most) {
    int count = *(int *)most;
    for (int i = 0; i < count; i++) {
        int rtp, http;
        char path[1024];
        if (scanf("%d %d %1023s", &rtp, &http, path) != 3) return most;
        calls[i].gateway = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(rtp)};
        inet_pton(AF_INET, "127.0.0.1", &calls[i].gateway.sin_addr);
        calls[i].ssrc = 0x1000 + i;
        calls[i].highest = -1;
        connect_agent(&calls[i], http, path);
        calls[i].opened = 1;
        struct epoll_event phone = {.events = EPOLLIN, .data.u32 = 2 * i};
        struct epoll_event agent = {.events = EPOLLIN, .data.u32 = 2 * i + 1};
        epoll_ctl(epoll, EPOLL_CTL_ADD, calls[i].phone, &phone);
        epoll_ctl(epoll, EPOLL_CTL_ADD, calls[i].agent, &agent);
    }
    return NULL;
}

/* The turns of the calls in a frame, such that the first few of them are spread over it, too. */
static int *spread(int count) {
    int *turns = calloc(count, sizeof *turns), step = count * 0.618 + 1;
    for (int i = 0; i < count; i++) turns[i] = -1;
    for (int i = 0, at = 0; i < count; i++, at = (at + step) % count) {
        while (turns[at] >= 0) at = (at + 1) % count;
        turns[at] = i;
    }
    return turns;
}

int main(int argc, char **argv) {
    if (argc < 4) return 2;
    for (int i = 4; i < argc; i++)
        if (!take_option(argv[i])) return 2;
    int count = atoi(argv[1]);
    double seconds = atof(argv[2]), settle = atof(argv[3]);
    calls = calloc(count, sizeof *calls);
    for (int i = 0; i < count; i++) {
        struct sockaddr_in here = {.sin_family = AF_INET};
        socklen_t size = sizeof here;
        inet_pton(AF_INET, "127.0.0.1", &here.sin_addr);
        calls[i].phone = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
        if (bind(calls[i].phone, (struct sockaddr *)&here, size) < 0) die("bind");
        getsockname(calls[i].phone, (struct sockaddr *)&here, &size);
        printf("%d%c", ntohs(here.sin_port), i + 1 < count ? ' ' : '\n');
    }
    fflush(stdout);
    epoll = epoll_create1(0);
    pthread_t opening;
    if (late) {
        if (pthread_create(&opening, NULL, open_calls, &count)) die("pthread_create");
    } else if (open_calls(&count)) {
        return 2;
    }
    int64_t start = now_ns(), from = start + (int64_t)(settle * 1e9);
    int64_t until = from + (int64_t)(seconds * 1e9), over = until + 1000000000LL;
    int *turns = spread(count);
    for (int i = 0; i < count; i++) calls[turns[i]].due = start + FRAME_NS * i / count;
    struct rusage before = {0}, after = {0};
    int next = 0;
    for (;;) {
        int64_t now = now_ns();
        if (!measuring && now >= from && now < until) {
            measuring = 1;
            getrusage(RUSAGE_SELF, &before);
            printf("measuring\n");
            fflush(stdout);
        } else if (measuring && now >= until) {
            measuring = 0;
            getrusage(RUSAGE_SELF, &after);
            printf("measured\n");
            fflush(stdout);
        }
        if (now >= over) break;
        disturbing = calm < 0 ? measuring : now > start + 2e9 && now < from - calm * 1e9;
        while (calls[turns[next]].due <= now) {
            call_t *call = &calls[turns[next]];
            if (call->opened) say(call, now);
            call->due += FRAME_NS;
            next = (next + 1) % count;
        }
        struct epoll_event events[256];
        int64_t wait = calls[turns[next]].due - now_ns();
        struct timespec pause = {0, wait > 0 ? wait : 0};
        int ready = epoll_pwait2(epoll, events, 256, &pause, NULL);
        for (int i = 0; i < ready; i++) {
            call_t *call = &calls[events[i].data.u32 / 2];
            if (events[i].data.u32 & 1) {
                if (call->agent >= 0) agent_hears(call);
            } else {
                phone_hears(call);
            }
        }
    }
    double cpu = (after.ru_utime.tv_sec - before.ru_utime.tv_sec) +
                 (after.ru_stime.tv_sec - before.ru_stime.tv_sec) +
                 (after.ru_utime.tv_usec - before.ru_utime.tv_usec +
                  after.ru_stime.tv_usec - before.ru_stime.tv_usec) / 1e6;
    printf("{");
    print("gaps", &gaps);
    print("inward", &inward);
    print("outward", &outward);
    print("around", &around);
    printf("\"sent\": %lu, \"returned\": %lu, \"other\": %lu, \"heard\": %lu, "
           "\"load_cpu\": %.4f, ",
           sent, returned, strange, heard, cpu / seconds);
    uint64_t distinct = 0, missing = 0, opened = 0;
    for (int i = 0; i < count; i++) {
        if (!calls[i].opened) continue;
        opened++;
        distinct += calls[i].distinct;
        missing += calls[i].highest + 1 - calls[i].distinct;
    }
    printf("\"opened\": %lu, ", opened);
    printf("\"truth\": {\"sent\": %lu, \"lost\": %lu, \"duplicate\": %lu, \"held\": %lu}}\n",
           distinct, missing, twice, held_back);
    return 0;
}
