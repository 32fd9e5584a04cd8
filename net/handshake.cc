#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <cstring>
#include <string_view>
#include <vector>

#include "handshake_internal.h"

namespace paceline {
namespace {

Nonce random_nonce() { return FabricToken::random().bytes; }

/// What is signed: the purpose tells the three frames apart.
Mac mac_of(const FabricToken& token, std::string_view purpose, std::uint64_t layout_hash,
           std::initializer_list<Nonce> nonces) {
  std::vector<std::byte> text;
  const auto append = [&](const void* bytes, std::size_t count) {
    const auto* first = static_cast<const std::byte*>(bytes);
    text.insert(text.end(), first, first + count);
  };
  append(purpose.data(), purpose.size() + 1);  // with the literal's end: no purpose begins another
  append(&kFabricVersion, sizeof kFabricVersion);
  append(&layout_hash, sizeof layout_hash);
  for (const Nonce& nonce : nonces) append(nonce.data(), nonce.size());
  Mac mac;
  unsigned bytes = 0;
  const auto* made = HMAC(EVP_sha256(), token.bytes.data(), static_cast<int>(token.bytes.size()),
                          reinterpret_cast<const unsigned char*>(text.data()), text.size(),
                          reinterpret_cast<unsigned char*>(mac.data()), &bytes);
  PACELINE_CHECK(made != nullptr && bytes == mac.size(), "libcrypto makes no HMAC-SHA256");
  return mac;
}

bool same(const Mac& a, const Mac& b) { return CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0; }

}  // namespace

Initiator::Initiator(const FabricToken& token, std::uint64_t layout_hash)
    : token_(token), layout_hash_(layout_hash), own_(random_nonce()) {}

Hello Initiator::hello() const {
  auto hello = make_frame<Hello>();
  hello.layout_hash = layout_hash_;
  hello.nonce = own_;
  hello.mac = mac_of(token_, "hello", layout_hash_, {own_});
  return hello;
}

Result<Proof> Initiator::answer(const Challenge& challenge) const {
  const Nonce& others = challenge.nonce;
  if (!same(challenge.mac, mac_of(token_, "challenge", layout_hash_, {own_, others})))
    return fail(std::errc::permission_denied, "who answers does not know the run's token");
  auto proof = make_frame<Proof>();
  proof.mac = mac_of(token_, "proof", layout_hash_, {own_, others});
  return proof;
}

Responder::Responder(const FabricToken& token, std::uint64_t layout_hash)
    : token_(token), layout_hash_(layout_hash), own_(random_nonce()) {}

boost::outcome_v2::basic_result<Challenge, RefusalReason, boost::outcome_v2::policy::terminate>
Responder::answer(const Hello& hello) {
  if (hello.version != kFabricVersion) return RefusalReason::other_version;
  // The token first: whoever does not know it learns nothing of the layout.
  if (!same(hello.mac, mac_of(token_, "hello", hello.layout_hash, {hello.nonce})))
    return RefusalReason::wrong_token;
  if (hello.layout_hash != layout_hash_) return RefusalReason::other_layout;
  others_ = hello.nonce;
  auto challenge = make_frame<Challenge>();
  challenge.nonce = own_;
  challenge.mac = mac_of(token_, "challenge", layout_hash_, {others_, own_});
  return challenge;
}

bool Responder::is_right(const Proof& proof) const {
  return same(proof.mac, mac_of(token_, "proof", layout_hash_, {others_, own_}));
}

}  // namespace paceline
