// Plans as JSON.
#include "weft/plan.hpp"

#include <nlohmann/json.hpp>

#include "weft/error.hpp"

namespace weft {
namespace {

constexpr const char* kRecomputeNames[] = {"none", "selective", "full"};

Recompute recompute_from(const std::string& name) {
  for (int i = 0; i < 3; ++i)
    if (name == kRecomputeNames[i]) return static_cast<Recompute>(i);
  throw UserError("plan: recompute is none, selective or full, not '" + name + "'");
}

using Json = nlohmann::ordered_json;
constexpr const char* kWhole = "whole";

/// {"fc.weight": {"tensor": 0}, "qkv.weight": {"tensor": {"dimension": 1, "blocks": 3}}, "fc.bias": {"tensor":
/// "whole"}}
Json json_of(const StateCutList& cuts) {
  Json states = Json::object();
  for (const StateCut& cut : cuts) {
    Json& how = states[cut.state][cut.axis];
    if (cut.dimension == StateCut::kWhole)
      how = kWhole;
    else if (cut.blocks == 1)
      how = cut.dimension;
    else
      how = {{"dimension", cut.dimension}, {"blocks", cut.blocks}};
  }
  return states;
}

StateCutList cuts_from(const Json& states) {
  StateCutList cuts;
  for (const auto& [state, axes] : states.items())
    for (const auto& [axis, how] : axes.items()) {
      StateCut cut{state, axis, StateCut::kWhole, 1};
      if (how.is_object()) {
        cut.dimension = how.at("dimension").get<int>();
        cut.blocks = how.at("blocks").get<std::int64_t>();
      } else if (how != kWhole) {
        cut.dimension = how.get<int>();
      }
      cuts.push_back(std::move(cut));
    }
  return cuts;
}

}  // namespace

std::string Plan::json() const {
  Json j;
  j["mesh"] = Json::array();
  for (const MeshAxis& a : mesh.axes) j["mesh"].push_back({{"axis", a.name}, {"size", a.size}});
  j["global_batch"] = global_batch;
  j["micro_batches"] = micro_batches;
  j["zero"] = zero;
  j["recompute"] = kRecomputeNames[static_cast<int>(recompute)];
  j["compute"] = name_of(compute);
  j["bucket_bytes"] = bucket_bytes;
  j["deterministic"] = deterministic;
  j["threads"] = threads;
  if (!cuts.empty()) j["cuts"] = json_of(cuts);
  return j.dump(2);
}

Plan Plan::parse(std::string_view text) {
  try {
    const auto j = Json::parse(text);
    Plan plan;
    for (const auto& a : j.at("mesh"))
      plan.mesh.axes.push_back({a.at("axis").get<std::string>(), a.at("size").get<int>()});
    plan.global_batch = j.at("global_batch").get<std::int64_t>();
    plan.micro_batches = j.at("micro_batches").get<std::int64_t>();
    plan.zero = j.at("zero").get<int>();
    plan.recompute = recompute_from(j.at("recompute").get<std::string>());
    const auto type = dtype_from_name(j.at("compute").get<std::string>());
    if (!type) throw UserError("plan: unknown compute type");
    plan.compute = *type;
    plan.bucket_bytes = j.at("bucket_bytes").get<std::int64_t>();
    plan.deterministic = j.at("deterministic").get<bool>();
    plan.threads = j.at("threads").get<int>();
    if (j.contains("cuts")) plan.cuts = cuts_from(j.at("cuts"));
    return plan;
  } catch (const nlohmann::json::exception& e) {
    throw UserError(std::string("plan: this is not a plan that Weft wrote: ") + e.what());
  }
}

}  // namespace weft
