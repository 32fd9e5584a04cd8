// Owners of what libibverbs gives. Private to net/verbs.
#pragma once

#include <infiniband/verbs.h>

#include <memory>

namespace paceline {

template <auto kRelease>
struct VerbsRelease {
  template <class T>
  void operator()(T* object) const {
    kRelease(object);
  }
};
template <class T, auto kRelease>
using VerbsOwner = std::unique_ptr<T, VerbsRelease<kRelease>>;

}  // namespace paceline
