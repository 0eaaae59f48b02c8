#include "engine/container_attach.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cstring>

#include "core/base/text.h"
#include "tests/unit/temp_dir.h"

namespace wherry::engine {
namespace {

TEST(DetachKeys, ParseDockersNotation) {
  EXPECT_EQ(*ParseDetachKeys("ctrl-p,ctrl-q"), "\x10\x11");
  EXPECT_EQ(*ParseDetachKeys("a,b"), "ab");
  EXPECT_EQ(*ParseDetachKeys("ctrl-@"), std::string(1, '\0'));
  EXPECT_EQ(*ParseDetachKeys("ctrl-["), "\x1b");
  EXPECT_EQ(*ParseDetachKeys(""), "");
  for (std::string_view text : {"ctrl-", "ctrl-P2", "alt-x", "a,,b"})
    EXPECT_FALSE(ParseDetachKeys(text)) << text;
}

TEST(DetachFilter, FindsTheSequenceAnywhere) {
  struct Row {
    std::vector<std::string> input;
    std::string out;
    bool detached;
  };
  const Row rows[] = {
      {{"hello"}, "hello", false},      {{"hi\x10\x11ignored"}, "hi", true},
      {{"hi\x10", "\x11"}, "hi", true}, {{"hi\x10", "x"}, "hi\x10x", false},
      {{"\x10\x10\x11"}, "\x10", true}, {{"\x10"}, "", false},
      {{"\x11\x10"}, "\x11", false},
  };
  for (const Row& row : rows) {
    DetachFilter filter("\x10\x11");
    std::string out;
    bool detached = false;
    for (const std::string& piece : row.input)
      detached = detached || filter.Feed(piece, out);
    EXPECT_EQ(out, row.out);
    EXPECT_EQ(detached, row.detached);
  }
  DetachFilter none("");
  std::string out;
  EXPECT_FALSE(none.Feed("\x10\x11", out));
  EXPECT_EQ(out, "\x10\x11");
}

// A client: what the session writes to it, and what it can make happen.
struct FakeStream final : http::Stream {
  void Write(std::string_view bytes) override { written += bytes; }
  size_t pending() const override { return pending_bytes; }
  void OnDrain(std::move_only_function<void()> callback) override { drained = std::move(callback); }
  void OnData(std::move_only_function<void(std::string_view)> callback) override {
    data = std::move(callback);
  }
  void PauseReading(bool value) override { paused = value; }
  void OnReadEnd(std::move_only_function<void()> callback) override {
    read_end = std::move(callback);
  }
  void OnClose(std::move_only_function<void()> callback) override { close = std::move(callback); }
  void Close() override { closed = true; }

  std::string written;
  size_t pending_bytes = 0;
  bool paused = false;
  bool closed = false;
  std::move_only_function<void()> drained, read_end, close;
  std::move_only_function<void(std::string_view)> data;
};

// A shim: the listening socket and one accepted connection, blocking.
class FakeShim {
 public:
  explicit FakeShim(const std::string& directory) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::string path = directory + "/shim.sock";
    memcpy(address.sun_path, path.data(), path.size());
    listener_.Reset(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    const void* raw = &address;
    EXPECT_EQ(bind(listener_.get(), static_cast<const sockaddr*>(raw), sizeof address), 0);
    EXPECT_EQ(listen(listener_.get(), 4), 0);
  }
  void Accept() { peer_.Reset(accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC)); }
  std::string Receive(size_t size) {
    std::string bytes(size, '\0');
    EXPECT_EQ(recv(peer_.get(), bytes.data(), size, MSG_WAITALL), static_cast<ssize_t>(size));
    return bytes;
  }
  bool AtEnd() {
    char byte;
    return recv(peer_.get(), &byte, 1, 0) == 0;
  }
  void Send(std::string_view bytes) { EXPECT_TRUE(WriteAll(peer_.get(), bytes, "peer")); }
  void Close() { peer_.Reset(); }

 private:
  UniqueFd listener_;
  UniqueFd peer_;
};

std::string Frame(uint8_t kind, std::string_view payload) {
  return Cat(FrameHeader(kind, payload.size()), payload);
}

class AttachTest : public testing::Test {
 protected:
  AttachTest()
      : loop_(std::move(*Loop::Create())),
        shim_(directory_.path()),
        stream_(std::make_shared<FakeStream>()) {}

  void Attach(AttachOptions options) {
    session_ = std::make_shared<AttachSession>(stream_, std::move(options));
    session_->Begin();
    ASSERT_TRUE(session_->Connect(loop_.get(), directory_.path()));
    shim_.Accept();
  }
  // Runs the loop until nothing has happened for a moment.
  void Settle() {
    loop_->After(std::chrono::milliseconds(30), [this] { loop_->Stop(); });
    ASSERT_TRUE(loop_->Run());
  }

  TempDir directory_;
  std::unique_ptr<Loop> loop_;
  FakeShim shim_;
  std::shared_ptr<FakeStream> stream_;
  std::shared_ptr<AttachSession> session_;
};

TEST_F(AttachTest, PassesFramesOnUnchanged) {
  Attach({.with_stdout = true, .with_stderr = true, .detach_keys = ""});
  EXPECT_EQ(shim_.Receive(9), Frame(shim::kAttach, "\6"));
  std::string frames =
      Frame(shim::kAttached, "") + Frame(shim::kStdout, "out") + Frame(shim::kStderr, "err");
  shim_.Send(frames.substr(0, 20));
  Settle();
  shim_.Send(frames.substr(20) + Frame(shim::kExit, "{}"));
  Settle();
  EXPECT_EQ(stream_->written, Frame(shim::kStdout, "out") + Frame(shim::kStderr, "err"));
  EXPECT_FALSE(stream_->closed);
  shim_.Close();
  Settle();
  EXPECT_TRUE(stream_->closed);
}

TEST_F(AttachTest, TerminalsAreRaw) {
  Attach({.tty = true, .with_stdout = true, .detach_keys = ""});
  shim_.Receive(9);
  shim_.Send(Frame(shim::kStdout, "hello"));
  Settle();
  EXPECT_EQ(stream_->written, "hello");
}

TEST_F(AttachTest, InputEndsWithTheClientsWhenAskedTo) {
  Attach({.with_stdin = true, .stdin_once = true, .detach_keys = ""});
  shim_.Receive(9);
  stream_->data("typed");
  stream_->read_end();
  Settle();
  EXPECT_EQ(shim_.Receive(8 + 5 + 8), Frame(shim::kStdin, "typed") + Frame(shim::kCloseStdin, ""));
  EXPECT_FALSE(stream_->closed);
}

TEST_F(AttachTest, EndOfInputEndsOtherSessions) {
  Attach({.with_stdin = true, .detach_keys = ""});
  stream_->read_end();
  EXPECT_TRUE(stream_->closed);
}

TEST_F(AttachTest, WithoutInputTheClientsEndMeansNothing) {
  Attach({.with_stdout = true, .detach_keys = ""});
  stream_->data("ignored");
  stream_->read_end();
  EXPECT_FALSE(stream_->closed);
}

TEST_F(AttachTest, DetachKeysLeaveTheContainerAlone) {
  bool detached = false;
  Attach({.tty = true, .with_stdin = true, .detach_keys = "\x10\x11"});
  session_->OnDetach([&] { detached = true; });
  shim_.Receive(9);
  stream_->data("ls\x10\x11");
  Settle();
  EXPECT_TRUE(detached);
  EXPECT_TRUE(stream_->closed);
  EXPECT_EQ(shim_.Receive(8 + 2), Frame(shim::kStdin, "ls"));
  EXPECT_TRUE(shim_.AtEnd());
}

TEST_F(AttachTest, LargeInputIsSplitIntoFrames) {
  Attach({.with_stdin = true, .detach_keys = ""});
  shim_.Receive(9);
  std::string text(shim::kMaxPayload + 10, 'x');
  stream_->data(text);
  Settle();
  EXPECT_EQ(shim_.Receive(8 + shim::kMaxPayload + 8 + 10),
            Frame(shim::kStdin, text.substr(10)) + Frame(shim::kStdin, text.substr(0, 10)));
}

TEST_F(AttachTest, ASlowClientStopsTheReading) {
  Attach({.with_stdout = true, .detach_keys = ""});
  shim_.Receive(9);
  stream_->pending_bytes = 1 << 20;
  shim_.Send(Frame(shim::kStdout, "one"));
  Settle();
  EXPECT_EQ(stream_->written.size(), 11U);
  shim_.Send(Frame(shim::kStdout, "two"));
  shim_.Close();
  Settle();
  EXPECT_EQ(stream_->written.size(), 11U);  // paused, also by the hang-up
  EXPECT_FALSE(stream_->closed);
  stream_->pending_bytes = 0;
  stream_->drained();
  Settle();
  EXPECT_EQ(stream_->written.size(), 22U);
  EXPECT_TRUE(stream_->closed);
}

TEST_F(AttachTest, AClientThatGoesTakesItsConnectionAlong) {
  Attach({.with_stdout = true, .detach_keys = ""});
  shim_.Receive(9);
  stream_->close();
  EXPECT_TRUE(session_->closed());
  EXPECT_TRUE(shim_.AtEnd());
}

TEST_F(AttachTest, OversizedFramesEndTheConnection) {
  Attach({.with_stdout = true, .detach_keys = ""});
  shim_.Receive(9);
  shim_.Send(FrameHeader(shim::kStdout, shim::kMaxPayload + 1));
  Settle();
  EXPECT_TRUE(stream_->closed);
}

TEST(ShimConnection, NobodyListens) {
  TempDir directory;
  auto loop = std::move(*Loop::Create());
  auto connection = ShimConnection::Connect(loop.get(), directory.path());
  ASSERT_FALSE(connection);
  EXPECT_EQ(connection.error().code(), Errc::kNotFound);
}

TEST(ShimConnection, LongDirectoriesAreReached) {
  TempDir directory;
  std::string deep = directory / std::string(120, 'd');
  ASSERT_TRUE(MakeDirs(deep, 0700));
  auto loop = std::move(*Loop::Create());
  auto connection = ShimConnection::Connect(loop.get(), deep);
  ASSERT_FALSE(connection);
  EXPECT_EQ(connection.error().code(), Errc::kNotFound) << connection.error().message();
}

}  // namespace
}  // namespace wherry::engine
