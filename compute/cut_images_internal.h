// The rule of RawBatch as a loop: the reference that every device's cutting equals bit for bit.
#pragma once

#include <span>

#include "paceline/compute/device.h"

namespace paceline {

/// @param to  one image of the network: its height and width; as many channels as are stored
/// @param out [n,H,W,C] f32
void cut_images(const RawBatch& raw, Shape to, std::span<float> out);

}  // namespace paceline
