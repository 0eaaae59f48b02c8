// Talks over the network as told, without the C library's resolver, which a static program lacks.
//
//   netprobe serve PORT TEXT       answers every TCP connection with TEXT
//   netprobe echo PORT             sends every UDP datagram back, behind the sender's address
//   netprobe get HOST PORT         what a TCP connection sends, to its end
//   netprobe send HOST PORT TEXT   sends a UDP datagram, says what comes back
//   netprobe resolve NAME [tcp]    addresses of a name, or the code of the answer
//   netprobe bind PORT             binds and listens on 0.0.0.0, TCP and UDP
//   netprobe flood N               N queries for names that do not exist at once, without waiting
//   netprobe raw HEX               sends these bytes to the name server, says how many come back
// HOST is an address or a name.

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

namespace {

[[noreturn]] void Fail(const char* what) {
  printf("%s: %s\n", what, strerror(errno));
  exit(1);
}

sockaddr_in Address(uint32_t network_order, int port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(port));
  address.sin_addr.s_addr = network_order;
  return address;
}

sockaddr* Generic(sockaddr_in* address) {
  return reinterpret_cast<sockaddr*>(address);
}

int Socket(int type) {
  int fd = socket(AF_INET, type, 0);
  if (fd < 0)
    Fail("socket");
  timeval patience{6, 0};  // longer than what forwarding a query takes
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
  return fd;
}

sockaddr_in NameServer() {
  FILE* file = fopen("/etc/resolv.conf", "r");
  char line[256];
  char server[64] = "127.0.0.1";
  while (file != nullptr && fgets(line, sizeof line, file) != nullptr) {
    if (sscanf(line, "nameserver %63s", server) == 1)
      break;
  }
  return Address(inet_addr(server), 53);
}

size_t Query(const char* name, uint8_t* out) {
  const uint8_t head[] = {0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0};
  memcpy(out, head, sizeof head);
  size_t at = sizeof head;
  while (*name != '\0') {
    size_t length = strcspn(name, ".");
    out[at++] = static_cast<uint8_t>(length);
    memcpy(out + at, name, length);
    at += length;
    name += length + (name[length] == '.');
  }
  const uint8_t tail[] = {0, 0, 1, 0, 1};
  memcpy(out + at, tail, sizeof tail);
  return at + sizeof tail;
}

// The answer to a query for the addresses of a name; its length.
size_t Ask(const char* name, bool tcp, uint8_t* answer, size_t capacity) {
  uint8_t query[512];
  size_t size = Query(name, query + 2);
  sockaddr_in server = NameServer();
  int fd = Socket(tcp ? SOCK_STREAM : SOCK_DGRAM);
  if (connect(fd, Generic(&server), sizeof server) < 0)
    Fail("connect");
  query[0] = static_cast<uint8_t>(size >> 8);
  query[1] = static_cast<uint8_t>(size);
  if (write(fd, tcp ? query : query + 2, tcp ? size + 2 : size) < 0)
    Fail("write");
  size_t got = 0;
  do {
    ssize_t count = read(fd, answer + got, capacity - got);
    if (count <= 0)
      Fail("no answer");
    got += static_cast<size_t>(count);
  } while (tcp && (got < 2 || got < 2 + size_t{answer[0]} * 256 + answer[1]));
  close(fd);
  if (!tcp)
    return got;
  memmove(answer, answer + 2, got - 2);
  return got - 2;
}

// Of the records of an answer, which all have the question's name by pointer.
size_t Addresses(const char* name, bool tcp, uint32_t* out, size_t most, int* code) {
  uint8_t answer[4096];
  uint8_t query[512];
  size_t size = Ask(name, tcp, answer, sizeof answer);
  size_t at = Query(name, query);
  *code = answer[3] & 15;
  size_t count = 0;
  for (int i = 0; i < answer[7] && at + 16 <= size && count < most; ++i) {
    size_t length = size_t{answer[at + 10]} * 256 + answer[at + 11];
    if (length == 4)
      memcpy(&out[count++], answer + at + 12, 4);
    at += 12 + length;
  }
  return count;
}

sockaddr_in Resolve(const char* host, const char* port) {
  in_addr address{};
  if (inet_aton(host, &address) != 0)
    return Address(address.s_addr, atoi(port));
  uint32_t found = 0;
  int code = 0;
  if (Addresses(host, false, &found, 1, &code) == 0) {
    printf("%s has no address (%d)\n", host, code);
    exit(2);
  }
  return Address(found, atoi(port));
}

int Bound(int type, const char* port) {
  int fd = Socket(type);
  int one = 1;
  timeval forever{0, 0};
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &forever, sizeof forever);
  sockaddr_in any = Address(INADDR_ANY, atoi(port));
  if (bind(fd, Generic(&any), sizeof any) < 0)
    Fail("bind");
  if (type == SOCK_STREAM && listen(fd, 64) < 0)
    Fail("listen");
  return fd;
}

int Serve(char** words) {
  int fd = Bound(SOCK_STREAM, words[0]);
  for (;;) {
    int client = accept(fd, nullptr, nullptr);
    if (client < 0)
      continue;
    if (write(client, words[1], strlen(words[1])) < 0)
      perror("write");
    close(client);
  }
}

int Echo(char** words) {
  int fd = Bound(SOCK_DGRAM, words[0]);
  for (;;) {
    char text[2048];
    sockaddr_in from{};
    socklen_t size = sizeof from;
    ssize_t count = recvfrom(fd, text, 1024, 0, Generic(&from), &size);
    if (count < 0)
      continue;
    char answer[4096];
    int length = snprintf(answer, sizeof answer, "%s %.*s", inet_ntoa(from.sin_addr),
                          static_cast<int>(count), text);
    sendto(fd, answer, static_cast<size_t>(length), 0, Generic(&from), size);
  }
}

int Get(char** words) {
  sockaddr_in server = Resolve(words[0], words[1]);
  int fd = Socket(SOCK_STREAM);
  if (connect(fd, Generic(&server), sizeof server) < 0)
    Fail("connect");
  char text[4096];
  ssize_t count;
  while ((count = read(fd, text, sizeof text)) > 0)
    fwrite(text, 1, static_cast<size_t>(count), stdout);
  if (count < 0)
    Fail("read");
  return 0;
}

int Send(char** words) {
  sockaddr_in server = Resolve(words[0], words[1]);
  int fd = Socket(SOCK_DGRAM);
  char text[4096];
  if (connect(fd, Generic(&server), sizeof server) < 0)
    Fail("connect");
  if (write(fd, words[2], strlen(words[2])) < 0)
    Fail("write");
  ssize_t count = read(fd, text, sizeof text);
  if (count < 0)
    Fail("read");
  printf("%.*s\n", static_cast<int>(count), text);
  return 0;
}

int ResolveName(char** words) {
  uint32_t found[64];
  int code = 0;
  bool tcp = words[1] != nullptr && strcmp(words[1], "tcp") == 0;
  size_t count = Addresses(words[0], tcp, found, 64, &code);
  for (size_t i = 0; i < count; ++i)
    printf("%s\n", inet_ntoa(in_addr{found[i]}));
  if (count == 0)
    printf("code %d\n", code);
  return count == 0 ? 2 : 0;
}

int Bind(char** words) {
  Bound(SOCK_STREAM, words[0]);
  Bound(SOCK_DGRAM, words[0]);
  printf("bound\n");
  fflush(stdout);
  pause();
  return 0;
}

int Flood(char** words) {
  sockaddr_in server = NameServer();
  int fd = Socket(SOCK_DGRAM);
  for (int i = 0; i < atoi(words[0]); ++i) {
    char name[64];
    uint8_t query[512];
    snprintf(name, sizeof name, "flood%d.example", i);
    sendto(fd, query, Query(name, query), MSG_DONTWAIT, Generic(&server), sizeof server);
  }
  printf("sent\n");
  return 0;
}

int Raw(char** words) {
  sockaddr_in server = NameServer();
  int fd = Socket(SOCK_DGRAM);
  uint8_t bytes[2048];
  size_t size = 0;
  for (const char* hex = words[0]; hex[0] != '\0' && hex[1] != '\0'; hex += 2) {
    unsigned value = 0;
    sscanf(hex, "%2x", &value);
    bytes[size++] = static_cast<uint8_t>(value);
  }
  timeval short_patience{0, 300000};
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &short_patience, sizeof short_patience);
  sendto(fd, bytes, size, 0, Generic(&server), sizeof server);
  printf("%zd\n", recv(fd, bytes, sizeof bytes, 0));
  return 0;
}

struct Row {
  const char* name;
  int words;
  int (*run)(char** words);
};
constexpr Row kRows[] = {
    {"serve", 2, Serve},         {"echo", 1, Echo}, {"get", 2, Get},     {"send", 3, Send},
    {"resolve", 1, ResolveName}, {"bind", 1, Bind}, {"flood", 1, Flood}, {"raw", 1, Raw},
};

}  // namespace

int main(int argc, char** argv) {
  for (const Row& row : kRows) {
    if (argc >= 2 + row.words && strcmp(argv[1], row.name) == 0)
      return row.run(argv + 2);
  }
  fprintf(stderr, "netprobe: see tests/images/netprobe.cpp\n");
  return 64;
}
