#include "net/http/request_reader.h"

#include <gtest/gtest.h>

#include "core/base/text.h"

namespace wherry::http {
namespace {

using Step = RequestReader::Step;

struct Outcome {
  std::string summary;  // method, path and body
  size_t used = 0;
  int status = 0;
  bool keep_alive = false;
};

// Feeds `text` in two pieces, cut at `cut`.
Outcome Read(std::string_view text, size_t cut) {
  RequestReader reader(4096);
  Outcome out;
  std::string body;
  std::string_view pieces[] = {text.substr(0, cut), text.substr(cut)};
  for (std::string_view piece : pieces) {
    for (;;) {
      auto [step, used] = reader.Feed(piece);
      out.used += used;
      piece.remove_prefix(used);
      body += reader.TakeBody();
      if (step == Step::kComplete) {
        out.summary = Cat(reader.request().method, " ", reader.request().path, " ", body);
        out.keep_alive = reader.keep_alive();
        return out;
      }
      if (step == Step::kError) {
        out.status = reader.error_status();
        return out;
      }
      if (step == Step::kMore) {
        break;
      }
    }
  }
  return out;
}

TEST(RequestReader, AnyCutGivesTheSame) {
  struct Row {
    std::string_view text;
    std::string_view rest;
    std::string_view summary;
    bool keep_alive;
  };
  constexpr Row kRows[] = {
      {"GET /a HTTP/1.1\r\nHost: x\r\n\r\n", "GET /b", "GET /a ", true},
      {"GET /a HTTP/1.1\r\n\r\n", "\r\nx", "GET /a ", true},
      {"POST /a?b HTTP/1.1\r\nContent-Length: 3\r\nConnection: close\r\n\r\nabc", "", "POST /a abc",
       false},
      {"PUT /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX: y\r\n\r\n", "GET ",
       "PUT /a abc", true},
      {"POST /a HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: tcp\r\nContent-Length: 2\r\n\r\n{}",
       "\nraw", "POST /a {}", true},
      {"POST /a HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n", "\r\nraw", "POST /a ",
       true},
      {"\r\n\r\nDELETE /a HTTP/1.0\r\n\r\n", "", "DELETE /a ", false},
  };
  for (const Row& row : kRows) {
    std::string text = Cat(row.text, row.rest);
    for (size_t cut = 0; cut <= text.size(); ++cut) {
      Outcome out = Read(text, cut);
      EXPECT_EQ(out.summary, row.summary) << row.text << " cut at " << cut;
      EXPECT_EQ(out.used, row.text.size()) << row.text << " cut at " << cut;
      EXPECT_EQ(out.keep_alive, row.keep_alive) << row.text << " cut at " << cut;
    }
  }
}

TEST(RequestReader, FactsOfTheHead) {
  RequestReader reader(4096);
  EXPECT_FALSE(reader.started());
  auto [step, used] = reader.Feed("POST / HTTP/1.1\r\nContent-Length: 7\r\n\r\nabc");
  EXPECT_EQ(step, Step::kHead);
  EXPECT_EQ(used, 38u);
  EXPECT_TRUE(reader.has_body());
  EXPECT_TRUE(reader.http_1_1());
  EXPECT_EQ(reader.announced_length(), 7u);
  EXPECT_TRUE(reader.started());
}

TEST(RequestReader, LineEndsAloneAreNoMessage) {
  RequestReader reader(4096);
  EXPECT_EQ(reader.Feed("\r\n\r\n").step, Step::kMore);
  EXPECT_FALSE(reader.started());
}

}  // namespace
}  // namespace wherry::http
