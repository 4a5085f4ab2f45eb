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

}  // namespace

std::string Plan::json() const {
  nlohmann::ordered_json j;
  j["mesh"] = nlohmann::ordered_json::array();
  for (const MeshAxis& a : mesh.axes) j["mesh"].push_back({{"axis", a.name}, {"size", a.size}});
  j["global_batch"] = global_batch;
  j["micro_batches"] = micro_batches;
  j["zero"] = zero;
  j["recompute"] = kRecomputeNames[static_cast<int>(recompute)];
  j["compute"] = name_of(compute);
  j["bucket_bytes"] = bucket_bytes;
  j["deterministic"] = deterministic;
  j["threads"] = threads;
  return j.dump(2);
}

Plan Plan::parse(std::string_view text) {
  try {
    const auto j = nlohmann::json::parse(text);
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
    return plan;
  } catch (const nlohmann::json::exception& e) {
    throw UserError(std::string("plan: this is not a plan that Weft wrote: ") + e.what());
  }
}

}  // namespace weft
