// Look-up, restoring and lists of containers without starting any: records on disk are all it
// takes.
#include "engine/containers.h"

#include <gtest/gtest.h>

#include "core/base/text.h"
#include "core/base/time.h"
#include "core/oci/image_spec.h"
#include "engine/container_list.h"
#include "engine/container_record.h"
#include "tests/unit/temp_dir.h"

namespace wherry::engine {
namespace {

constexpr int64_t kSecond = 1'000'000'000;

class ContainersTest : public testing::Test {
 protected:
  ContainersTest() : images_(nullptr, {}), loop_(std::move(*Loop::Create())), workers_(1) {
    config_.root = directory_ / "root";
    config_.run = directory_ / "run";
    config_.cgroup_parent = "/wherry-test";
    containers_ = std::make_unique<Containers>(Containers::Environment{
        &config_, loop_.get(), &workers_, &events_, &images_, &volumes_, &networks_, &resolver_});
  }

  std::string Id(char digit) { return std::string(64, digit); }

  void Save(const std::string& id, std::string_view name, int64_t second,
            std::string_view body = R"({"Image":"nginx"})") {
    oci::ImageConfig image;
    image.cmd = {"sh"};
    auto document = JsonDocument::Parse(body, "body");
    ASSERT_TRUE(document);
    auto request = NormaliseRequest(document->root(), image, {id.substr(0, 12), "bridge"});
    ASSERT_TRUE(request) << request.error().message();
    ContainerRecord record{
        id,    std::string(name), second * kSecond, Digest::Of("image"), Digest::Of("manifest"),
        false, *request};
    ASSERT_TRUE(SaveRecord(config_.root + "/containers/" + id, record));
  }
  std::string RunDirectory(const std::string& id) { return config_.run + "/c/" + id; }
  void Write(const std::string& path, std::string_view content) {
    ASSERT_TRUE(ReplaceFile(path, content, 0600, Durability::kVolatile));
  }
  void Settle() {
    loop_->After(std::chrono::milliseconds(50), [this] { loop_->Stop(); });
    ASSERT_TRUE(loop_->Run());
  }
  ContainerPtr Find(std::string_view name) {
    auto found = containers_->Find(name);
    EXPECT_TRUE(found) << name;
    return found ? *found : nullptr;
  }
  std::vector<std::string> List(std::string_view filters, bool all = true, int64_t limit = 0) {
    ListOptions options;
    options.all = all;
    options.limit = limit;
    auto parsed = Filters::Parse(filters, kContainerFilters);
    EXPECT_TRUE(parsed) << filters;
    options.filters = std::move(*parsed);
    auto list = ListContainers(*containers_, networks_, options);
    EXPECT_TRUE(list) << filters;
    std::vector<std::string> names;
    for (const ContainerPtr& container : *list)
      names.push_back(container->name);
    return names;
  }

  TempDir directory_;
  Config config_;
  // In the order of the daemon: what waits in the loop's queue may still hold images.
  Images images_;
  Volumes volumes_{directory_ / "root/volumes"};
  Networks networks_{{directory_ / "root", directory_ / "run", "wt-none0", {}}};
  std::unique_ptr<Loop> loop_;
  Resolver resolver_{loop_.get(), &networks_};
  WorkerPool workers_;
  EventBus events_;
  std::unique_ptr<Containers> containers_;
};

TEST_F(ContainersTest, FindsByIdNameAndPrefix) {
  std::string third = "ab" + std::string(62, 'c');
  Save(Id('a'), "web", 1);
  Save(Id('b'), "bbbb", 2);
  Save(third, "db", 3);
  ASSERT_TRUE(containers_->Restore());
  EXPECT_EQ(Find(Id('a'))->name, "web");
  EXPECT_EQ(Find("web")->id, Id('a'));
  EXPECT_EQ(Find("/web")->id, Id('a'));
  EXPECT_EQ(Find("aa")->id, Id('a'));
  EXPECT_EQ(Find("abc")->name, "db");
  EXPECT_EQ(Find("bbbb")->id, Id('b'));  // a name goes before a prefix
  auto ambiguous = containers_->Find("a");
  ASSERT_FALSE(ambiguous);
  EXPECT_EQ(ambiguous.error().code(), Errc::kInvalid);
  EXPECT_EQ(ambiguous.error().message(), "Multiple IDs found with provided prefix: a");
  for (std::string_view name : {"", "/", "c", "we", "webb"}) {
    auto absent = containers_->Find(name);
    ASSERT_FALSE(absent) << name;
    EXPECT_EQ(absent.error().code(), Errc::kNotFound);
  }
}

TEST_F(ContainersTest, RestoresWhatHappenedMeanwhile) {
  std::string created = Id('1'), ended = Id('2'), rebooted = Id('3'), failed = Id('4'),
              lost = Id('5');
  for (const std::string& id : {created, ended, rebooted, failed, lost})
    Save(id, "c" + id.substr(0, 3), 1);
  ASSERT_TRUE(MakeDirs(RunDirectory(ended), 0700));
  Write(RunDirectory(ended) + "/state", R"({"pid":999999999,"start_time":1})");
  Write(RunDirectory(ended) + "/exit",
        R"({"code":7,"signal":0,"oom":true,"time_ns":1700000000000000000})");
  ASSERT_TRUE(MakeDirs(config_.root + "/containers/" + rebooted + "/upper", 0755));
  RunStatus status;
  status.exit_code = 127;
  status.error = "exec: not found";
  ASSERT_TRUE(WriteRunStatus(RunDirectory(failed), status));
  ASSERT_TRUE(MakeDirs(RunDirectory(lost), 0700));
  Write(RunDirectory(lost) + "/state", R"({"pid":999999999,"start_time":1})");

  ASSERT_TRUE(containers_->Restore());
  EXPECT_EQ(Find(created)->state, ContainerState::kCreated);
  EXPECT_EQ(Find(ended)->state, ContainerState::kExited);
  EXPECT_EQ(Find(ended)->status.exit_code, 7);
  EXPECT_TRUE(Find(ended)->status.oom_killed);
  EXPECT_GT(Find(ended)->status.started_nanos, 0);
  EXPECT_EQ(Find(rebooted)->state, ContainerState::kExited);
  EXPECT_EQ(Find(rebooted)->status.exit_code, 255);
  EXPECT_EQ(Find(failed)->state, ContainerState::kCreated);
  EXPECT_EQ(Find(failed)->status.exit_code, 127);
  EXPECT_EQ(Find(lost)->state, ContainerState::kExited);
  EXPECT_EQ(Find(lost)->status.exit_code, 137);
  EXPECT_EQ(containers_->Counts().stopped, 5U);
}

TEST_F(ContainersTest, DamageCostsOneContainer) {
  Save(Id('a'), "good", 1);
  Save(Id('b'), "bad", 2);
  Write(config_.root + "/containers/" + Id('b') + "/config.json", "{\"sha256\":");
  ASSERT_TRUE(MakeDirs(config_.root + "/containers/" + Id('c') + "/upper",
                       0755));  // an interrupted removal
  ASSERT_TRUE(MakeDirs(config_.root + "/containers/not-an-id", 0755));
  ASSERT_TRUE(containers_->Restore());
  EXPECT_EQ(List(""), (std::vector<std::string>{"good"}));
  EXPECT_TRUE(PathExists(config_.root + "/containers/" + Id('b')));
  EXPECT_FALSE(PathExists(config_.root + "/containers/" + Id('c')));
  EXPECT_TRUE(PathExists(config_.root + "/containers/not-an-id"));
}

TEST_F(ContainersTest, EndedRmContainersAreRemovedAfterARestart) {
  Save(Id('a'), "gone", 1, R"({"Image":"nginx","HostConfig":{"AutoRemove":true}})");
  ASSERT_TRUE(MakeDirs(RunDirectory(Id('a')), 0700));
  Write(RunDirectory(Id('a')) + "/exit", R"({"code":0,"time_ns":1700000000000000000})");
  ASSERT_TRUE(containers_->Restore());
  Settle();
  EXPECT_FALSE(containers_->Find("gone"));
  EXPECT_FALSE(PathExists(config_.root + "/containers/" + Id('a')));
  EXPECT_FALSE(PathExists(RunDirectory(Id('a'))));
}

TEST_F(ContainersTest, RemoveAnswersWaitersAndFreesTheName) {
  Save(Id('a'), "web", 1);
  ASSERT_TRUE(containers_->Restore());
  ContainerPtr container = Find("web");
  int waited = -1;
  std::string events;
  events_.Subscribe([&](const Event& event) { events += event.action + " "; });
  containers_->Wait(container, WaitCondition::kRemoved,
                    [&](const WaitResult& result) { waited = result.exit_code; });
  bool removed = false;
  containers_->Remove(container, Containers::Force::kNo, Containers::TheirVolumes::kKeep,
                      [&](Result<> done) { removed = done.has_value(); });
  Result<> second;
  containers_->Remove(container, Containers::Force::kNo, Containers::TheirVolumes::kKeep,
                      [&](Result<> done) { second = std::move(done); });
  Settle();
  EXPECT_TRUE(removed);
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code(), Errc::kNotFound);
  EXPECT_EQ(waited, 0);
  EXPECT_EQ(events, "destroy ");
}

TEST_F(ContainersTest, RenameIsDurableAndRefusesTakenNames) {
  Save(Id('a'), "web", 1);
  Save(Id('b'), "db", 1);
  ASSERT_TRUE(containers_->Restore());
  Result<> taken, empty, renamed;
  containers_->Rename(Find("web"), "db", [&](Result<> done) { taken = std::move(done); });
  containers_->Rename(Find("web"), "", [&](Result<> done) { empty = std::move(done); });
  containers_->Rename(Find("web"), "/front", [&](Result<> done) { renamed = std::move(done); });
  Settle();
  ASSERT_FALSE(taken);
  EXPECT_EQ(taken.error().code(), Errc::kConflict);
  ASSERT_FALSE(empty);
  EXPECT_EQ(empty.error().code(), Errc::kInvalid);
  EXPECT_TRUE(renamed);
  EXPECT_EQ(Find("front")->id, Id('a'));
  EXPECT_FALSE(containers_->Find("web"));
  auto record = LoadRecord(config_.root + "/containers/" + Id('a'), Id('a'));
  ASSERT_TRUE(record);
  EXPECT_EQ(record->name, "front");
}

TEST_F(ContainersTest, OperationsOnWhatDoesNotRun) {
  Save(Id('a'), "web", 1);
  ASSERT_TRUE(containers_->Restore());
  ContainerPtr container = Find("web");
  Result<> stop, kill, pause, bad_signal;
  containers_->Stop(container, {}, [&](Result<> done) { stop = std::move(done); });
  containers_->Stop(container, {.signal = "SIGNOPE", .timeout_seconds = {}},
                    [&](Result<> done) { bad_signal = std::move(done); });
  containers_->Kill(container, "", [&](Result<> done) { kill = std::move(done); });
  containers_->Pause(container, [&](Result<> done) { pause = std::move(done); });
  EXPECT_EQ(stop.error().code(), Errc::kNotModified);
  EXPECT_EQ(bad_signal.error().code(), Errc::kInvalid);
  EXPECT_EQ(kill.error().code(), Errc::kConflict);
  EXPECT_NE(kill.error().message().find("is not running"), std::string::npos);
  EXPECT_EQ(pause.error().code(), Errc::kConflict);
  EXPECT_EQ(containers_->Resize(container, 1, 1).error().code(), Errc::kConflict);
  bool at_once = false;
  EXPECT_EQ(containers_->Wait(container, WaitCondition::kNotRunning,
                              [&](const WaitResult&) { at_once = true; }),
            0U);
  EXPECT_TRUE(at_once);
}

TEST_F(ContainersTest, ListsWithFilters) {
  Save(Id('a'), "web-1", 1,
       R"({"Image":"nginx","Labels":{"tier":"front"},"ExposedPorts":{"80/tcp":{}}})");
  Save(Id('b'), "web-2", 2,
       R"({"Image":"nginx:1","HostConfig":{"Binds":["/tmp:/data"],"NetworkMode":"host"}})");
  Save(Id('c'), "db", 3, R"({"Image":"postgres","Labels":{"tier":"back"}})");
  ASSERT_TRUE(containers_->Restore());
  using Names = std::vector<std::string>;
  EXPECT_EQ(List(""), (Names{"db", "web-2", "web-1"}));
  EXPECT_EQ(List("", false), Names{});
  EXPECT_EQ(List("", false, 2), (Names{"db", "web-2"}));
  EXPECT_EQ(List("", true, -1).size(), 3U);
  EXPECT_EQ(List(R"({"name":["web"]})"), (Names{"web-2", "web-1"}));
  EXPECT_EQ(List(R"({"name":["^/web-1$"]})"), Names{"web-1"});
  EXPECT_EQ(List(R"({"id":["bb"]})"), Names{"web-2"});
  EXPECT_EQ(List(R"({"label":["tier=front"]})"), Names{"web-1"});
  EXPECT_EQ(List(R"({"ancestor":["nginx:latest"]})"), Names{"web-1"});
  EXPECT_EQ(List(R"({"ancestor":["docker.io/library/nginx:1"]})"), Names{"web-2"});
  EXPECT_EQ(List(R"({"before":["db"]})"), (Names{"web-2", "web-1"}));
  EXPECT_EQ(List(R"({"since":["web-1"]})"), (Names{"db", "web-2"}));
  EXPECT_EQ(List(R"({"status":["created"]})", false).size(), 3U);
  EXPECT_EQ(List(R"({"status":["exited"]})"), Names{});
  EXPECT_EQ(List(R"({"exited":["0"]})"), Names{});
  EXPECT_EQ(List(R"({"volume":["/data"]})"), Names{"web-2"});
  EXPECT_EQ(List(R"({"network":["host"]})"), Names{"web-2"});
  EXPECT_EQ(List(R"({"expose":["80"]})"), Names{"web-1"});
  EXPECT_EQ(List(R"({"health":["none"]})").size(), 3U);
  ListOptions unknown;
  unknown.filters = *Filters::Parse(R"({"before":["nobody"]})", kContainerFilters);
  EXPECT_EQ(ListContainers(*containers_, networks_, unknown).error().code(), Errc::kNotFound);
  unknown.filters = *Filters::Parse(R"({"status":["asleep"]})", kContainerFilters);
  EXPECT_EQ(ListContainers(*containers_, networks_, unknown).error().code(), Errc::kInvalid);
}

TEST_F(ContainersTest, CreateRefusesBadNamesAtOnce) {
  Save(Id('a'), "web", 1);
  ASSERT_TRUE(containers_->Restore());
  auto refuse = [&](std::string name) {
    Errc code = Errc::kInternal;
    containers_->Create({std::move(name), "", "{}"},
                        [&](Result<Containers::Created> done) { code = done.error().code(); });
    return code;
  };
  EXPECT_EQ(refuse("web"), Errc::kConflict);
  EXPECT_EQ(refuse("a b"), Errc::kInvalid);
  EXPECT_EQ(refuse("/"), Errc::kInvalid);
}

TEST_F(ContainersTest, ImageUsersNameTheirManifest) {
  Save(Id('a'), "web", 1);
  ASSERT_TRUE(containers_->Restore());
  auto users = containers_->ImageUsers();
  ASSERT_EQ(users.size(), 1U);
  EXPECT_EQ(users[0].manifest_digest, Digest::Of("manifest"));
  EXPECT_FALSE(users[0].running);
}

}  // namespace
}  // namespace wherry::engine
