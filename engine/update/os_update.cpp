#include "engine/update/os_update.h"

#include "board/restart.h"
#include "board/slot_writer.h"
#include "core/base/log.h"
#include "core/base/text.h"
#include "net/registry/client.h"
#include "net/registry/credentials.h"
#include "ota/release_artifact.h"
#include "store/decompress.h"

namespace wherry::engine {

namespace {

// What an operating system expands to is bounded by the release, not by a ratio.
constexpr uint64_t kMaxExpansion = 1'000'000;

}  // namespace

std::string OsUpdate::BootId() const {
  return board::BootId();
}

Result<> OsUpdate::Write(const ota::OsImage& image, const ota::CancelFlag& cancel) {
  TRY(Commit(Booted(), board::TheOther::kBad));
  const std::string& device = slots_->Device(board::Other(Booted()));
  board::SlotImage wanted{image.size, image.digest};
  if (TRY(board::SlotHolds(device, wanted, *cancel)))
    return {};
  auto credentials =
      TRY(registry::CredentialsFile(config_->update_credentials).Get(image.image.registry));
  registry::Client client(config_->registry, image.image, std::move(credentials), cancel.get());
  registry::FetchedManifest manifest = TRY(client.GetManifest());
  if (const std::string& keys = KeysFor(config_->signatures, image.image); !keys.empty())
    TRY(CheckSigned(RegistrySignatures(client), image.image, manifest.digest, keys));
  oci::Descriptor layer = TRY(ota::OnlyLayer(manifest.bytes, "an operating system's image"));
  std::unique_ptr<ByteSource> blob = TRY(client.OpenBlob(layer));
  store::Limits limits = config_->store.limits;
  limits.max_expansion = kMaxExpansion;
  auto content = TRY(store::Decompress(*blob, store::Compression::kNone, limits));
  TRY(board::WriteSlot(device, *content, wanted, *cancel));
  LogInfo("update: slot ", board::Letter(board::Other(Booted())), " has ", image.version);
  return {};
}

Result<> OsUpdate::Arm(board::Slot slot) {
  TRY(slots_->control().Arm(slot));
  armed_ = true;
  return {};
}

Result<> OsUpdate::Commit(board::Slot slot, board::TheOther other) {
  TRY(slots_->control().Commit(slot, other));
  armed_ = false;
  return {};
}

Result<> OsUpdate::Restart() {
  LogInfo("update: the device restarts");
  return board::Restart(armed_ ? slots_->control().RestartArgument() : std::string_view(),
                        config_->root);
}

}  // namespace wherry::engine
