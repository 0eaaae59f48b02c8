#include "core/sys/dbus.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cstring>
#include <functional>
#include <thread>

#include "core/base/text.h"
#include "tests/unit/temp_dir.h"

namespace wherry::sys {
namespace {

using namespace std::string_literals;
using std::chrono::milliseconds;

DbusMessage Call(std::string member) {
  DbusMessage call;
  call.path = "/org/example";
  call.interface = "org.example.Manager";
  call.destination = "org.example";
  call.member = std::move(member);
  return call;
}

// The example of the specification's "Marshalling" for the array and the structure.
TEST(DbusMessage, ValuesAreAligned) {
  DbusWriter out;
  out.Number('y', 5);
  DbusWriter::Array list = out.Open('t');
  out.Number('t', 5);
  out.Close(list);
  EXPECT_EQ(out.bytes(), "\5\0\0\0\10\0\0\0\5\0\0\0\0\0\0\0"s);
  DbusWriter text;
  text.Text("foo").Text("+").Text("bar");
  EXPECT_EQ(text.bytes(), "\3\0\0\0foo\0\1\0\0\0+\0\0\0\3\0\0\0bar\0"s);
  DbusWriter property;
  property.Property("A", "b").Number('b', 1);
  EXPECT_EQ(property.bytes(), "\1\0\0\0A\0\1b\0\0\0\0\1\0\0\0"s);
}

TEST(DbusMessage, TheLengthOfAnArrayIsThatOfItsElementsAlone) {
  DbusWriter out;
  DbusWriter::Array empty = out.Open('(');
  out.Close(empty);
  EXPECT_EQ(out.bytes(), "\0\0\0\0\0\0\0\0"s);
  DbusWriter::Array names = out.Open('s');
  out.Text("a").Text("bc");
  out.Close(names);
  EXPECT_EQ(out.bytes().substr(8), "\17\0\0\0\1\0\0\0a\0\0\0\2\0\0\0bc\0"s);
}

TEST(DbusMessage, IsReadAsItWasWritten) {
  DbusMessage call = Call("StartTransientUnit");
  call.serial = 7;
  call.reply_serial = 3;
  call.error_name = "org.example.Error.No";
  call.sender = ":1.4";
  call.signature = "su";
  DbusWriter body;
  body.Text("x.scope").Number('u', 0xfffffff0);
  call.body = body.bytes();
  std::string bytes = BuildDbusMessage(call);
  ASSERT_EQ(DbusMessageSize(bytes.substr(0, kDbusStart)).value_or(0), bytes.size());
  Result<DbusMessage> read = ParseDbusMessage(bytes);
  ASSERT_TRUE(read) << read.error().message();
  EXPECT_EQ(read->serial, 7U);
  EXPECT_EQ(read->reply_serial, 3U);
  EXPECT_EQ(read->member, call.member);
  EXPECT_EQ(read->error_name, call.error_name);
  EXPECT_EQ(read->sender, call.sender);
  DbusReader reader(read->body);
  EXPECT_EQ(reader.Text('s').value_or(""), "x.scope");
  EXPECT_EQ(reader.Number('u').value_or(0), 0xfffffff0);
  EXPECT_TRUE(reader.AtEnd());
  EXPECT_FALSE(reader.Number('y'));
}

TEST(DbusMessage, EveryCutAndEveryWrongByteIsSurvived) {
  DbusMessage call = Call("A");
  call.signature = "s";
  call.body = "\1\0\0\0b\0"s;
  std::string whole = BuildDbusMessage(call);
  for (size_t size = 0; size < whole.size(); ++size)
    EXPECT_FALSE(ParseDbusMessage(whole.substr(0, size))) << size;
  for (size_t at = 0; at < whole.size(); ++at) {
    for (int value : {0, 1, 0x7f, 0x80, 0xff}) {
      std::string bytes = whole;
      bytes[at] = static_cast<char>(value);
      if (Result<DbusMessage> read = ParseDbusMessage(bytes)) {
        DbusReader body(read->body);
        (void)body.Text('s');
      }
    }
  }
}

TEST(DbusMessage, WhatIsTooLongIsRefusedBeforeItIsRead) {
  std::string start = BuildDbusMessage(Call("A")).substr(0, kDbusStart);
  for (size_t at : {4, 12}) {
    std::string bytes = start;
    memcpy(bytes.data() + at, "\xff\xff\xff\x7f", 4);
    Result<size_t> size = DbusMessageSize(bytes);
    ASSERT_FALSE(size);
    EXPECT_EQ(size.error().code(), Errc::kCorrupt);
  }
  start[0] = 'B';
  EXPECT_FALSE(DbusMessageSize(start));
}

// The other side, which says and takes what a test wants.
class Server {
 public:
  explicit Server(std::function<void(int)> serve) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    memcpy(address.sun_path, path_.c_str(), path_.size());
    listener_ = UniqueFd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    const void* generic = &address;
    EXPECT_EQ(bind(listener_.get(), static_cast<const sockaddr*>(generic), sizeof address), 0);
    EXPECT_EQ(listen(listener_.get(), 1), 0);
    thread_ = std::thread([this, serve = std::move(serve)] {
      UniqueFd connection(accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
      serve(connection.get());
    });
  }
  ~Server() { thread_.join(); }
  Result<DbusConnection> Connect(milliseconds timeout = milliseconds(5000)) {
    return DbusConnection::Open(path_, DbusConnection::Peer::kProgram, "Done", timeout);
  }

  static void Say(int fd, std::string_view text) {
    EXPECT_EQ(send(fd, text.data(), text.size(), MSG_NOSIGNAL), static_cast<ssize_t>(text.size()));
  }
  // What comes until it ends as it should.
  static std::string Take(int fd, std::string_view end) {
    std::string text;
    while (!text.ends_with(end)) {
      char c = 0;
      if (recv(fd, &c, 1, 0) != 1)
        break;
      text += c;
    }
    return text;
  }
  static void Accept(int fd) {
    EXPECT_EQ(Take(fd, "\r\n"), "\0AUTH EXTERNAL\r\n"s);
    Say(fd, "DATA\r\n");
    EXPECT_EQ(Take(fd, "\r\n"), "DATA\r\n");
    Say(fd, "OK 1234\r\n");
    EXPECT_EQ(Take(fd, "BEGIN\r\n"), "NEGOTIATE_UNIX_FD\r\nBEGIN\r\n");
    Say(fd, "ERROR\r\n");
  }
  static DbusMessage TakeMessage(int fd) {
    std::string bytes(kDbusStart, 0);
    EXPECT_EQ(recv(fd, bytes.data(), bytes.size(), MSG_WAITALL), static_cast<ssize_t>(kDbusStart));
    bytes.resize(DbusMessageSize(bytes).value_or(kDbusStart));
    EXPECT_GT(recv(fd, bytes.data() + kDbusStart, bytes.size() - kDbusStart, MSG_WAITALL), 0);
    return ParseDbusMessage(bytes).value_or(DbusMessage());
  }
  static std::string Message(DbusKind kind, uint32_t answers, std::string_view name,
                             std::string_view text) {
    DbusMessage message;
    message.kind = kind;
    message.serial = 1;
    message.reply_serial = answers;
    (kind == DbusKind::kError ? message.error_name : message.member) = name;
    message.signature = "s";
    DbusWriter body;
    body.Text(text);
    message.body = body.bytes();
    return BuildDbusMessage(message);
  }

 private:
  TempDir dir_;
  std::string path_ = dir_.path() + "/socket";
  UniqueFd listener_;
  std::thread thread_;
};

TEST(Dbus, ACallGetsItsReplyAndSignalsAreKept) {
  Server server([](int fd) {
    Server::Accept(fd);
    DbusMessage call = Server::TakeMessage(fd);
    EXPECT_EQ(call.member, "Go");
    std::string all = Server::Message(DbusKind::kSignal, 0, "Done", "first") +
                      Server::Message(DbusKind::kSignal, 0, "Other", "second") +
                      Server::Message(DbusKind::kReply, call.serial + 1, "", "of another call") +
                      Server::Message(DbusKind::kReply, call.serial, "", "done");
    for (char c : all)  // in the smallest parts there can be
      Server::Say(fd, {&c, 1});
    Server::Say(fd, Server::Message(DbusKind::kSignal, 0, "Done", "third"));
    Server::Take(fd, "never");
  });
  {
    Result<DbusConnection> connection = server.Connect();
    ASSERT_TRUE(connection) << connection.error().message();
    Result<DbusMessage> reply = connection->Call(Call("Go"));
    ASSERT_TRUE(reply) << reply.error().message();
    EXPECT_EQ(DbusReader(reply->body).Text('s').value_or(""), "done");
    for (const char* wanted : {"first", "third"}) {
      Result<DbusMessage> signal = connection->AwaitSignal([&](const DbusMessage& message) {
        return DbusReader(message.body).Text('s').value_or("") == wanted;
      });
      EXPECT_TRUE(signal) << signal.error().message();
    }
  }
}

TEST(Dbus, ErrorsKeepTheirTextAndHaveACode) {
  Server server([](int fd) {
    Server::Accept(fd);
    for (const char* name : {"org.freedesktop.systemd1.NoSuchUnit", "Unknown"}) {
      DbusMessage call = Server::TakeMessage(fd);
      Server::Say(fd, Server::Message(DbusKind::kError, call.serial, name, "Unit x not loaded."));
    }
  });
  Result<DbusConnection> connection = server.Connect();
  ASSERT_TRUE(connection) << connection.error().message();
  for (Errc code : {Errc::kNotFound, Errc::kUnavailable}) {
    Result<DbusMessage> reply = connection->Call(Call("Stop"));
    ASSERT_FALSE(reply);
    EXPECT_EQ(reply.error().code(), code);
    EXPECT_EQ(reply.error().message(), "Stop: Unit x not loaded.");
  }
}

TEST(Dbus, WhoeverIsNoDbusEndsInAnError) {
  struct Case {
    std::function<void(int)> serve;
    Errc code;
  };
  const Case cases[] = {
      {[](int fd) { Server::Say(fd, "REJECTED EXTERNAL\r\n"); }, Errc::kDenied},
      {[](int fd) { Server::Say(fd, "DATA\r\nDATA\r\n"); }, Errc::kDenied},
      {[](int fd) { Server::Say(fd, std::string(5000, 'x')); }, Errc::kCorrupt},
      {[](int) {}, Errc::kUnavailable},
      {[](int fd) { Server::Take(fd, "never"); }, Errc::kTimeout},
  };
  for (const Case& row : cases) {
    Server server(row.serve);
    Result<DbusConnection> connection = server.Connect(milliseconds(200));
    ASSERT_FALSE(connection);
    bool closed = connection.error().error_number() == ECONNRESET ||
                  connection.error().error_number() == EPIPE;
    EXPECT_TRUE(connection.error().code() == row.code || closed) << connection.error().message();
  }
}

TEST(Dbus, AnAnswerThatIsNoMessageIsAnError) {
  Server server([](int fd) {
    Server::Accept(fd);
    Server::TakeMessage(fd);
    Server::Say(fd, "HTTP/1.1 400 Bad Request\r\n");
    Server::Take(fd, "never");
  });
  {
    Result<DbusConnection> connection = server.Connect();
    ASSERT_TRUE(connection) << connection.error().message();
    Result<DbusMessage> reply = connection->Call(Call("Go"));
    ASSERT_FALSE(reply);
    EXPECT_EQ(reply.error().code(), Errc::kCorrupt);
  }
}

}  // namespace
}  // namespace wherry::sys
