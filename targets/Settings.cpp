// The field is set in the parsed file, which is written out and read again: every check of a card's file holds.
#include "targets/Settings.h"

#include <yaml-cpp/yaml.h>

#include <tuple>

namespace ahm::targets {

bool withSetting(const std::string &setting, std::string &yamlText, Machine &machine, std::string &error) {
  size_t equals = setting.find('=');
  if (equals == 0 || equals == std::string::npos || equals + 1 == setting.size()) {
    error = "'" + setting + "': write FIELD=VALUE, as in launch.command=5us";
    return false;
  }
  std::string text;
  try {
    YAML::Node root = YAML::Load(yamlText);
    YAML::Node at = root;
    std::string path = setting.substr(0, equals), done;
    for (size_t begin = 0, dot = 0; dot != std::string::npos; begin = dot + 1) {
      dot = path.find('.', begin);
      std::string key = path.substr(begin, dot == std::string::npos ? dot : dot - begin);
      if (!at.IsMap()) {
        error = setting + ": " + done + " is one value and has no field '" + key + "'";
        return false;
      }
      done += (done.empty() ? "" : ".") + key;
      if (dot == std::string::npos) {
        if (at[key].IsDefined() && !at[key].IsScalar()) {
          error = setting + ": " + done + " is a group; name one of its fields, as in " + done + "." +
                  (at[key].IsMap() && at[key].size() ? at[key].begin()->first.as<std::string>() : "FIELD");
          return false;
        }
        at[key] = setting.substr(equals + 1);
      } else {
        if (!at[key].IsDefined())
          at[key] = YAML::Node(YAML::NodeType::Map);
        at.reset(at[key]);
      }
    }
    YAML::Emitter out;
    out << root;
    text = std::string(out.c_str()) + "\n";
  } catch (const YAML::Exception &problem) {
    error = setting + ": " + problem.what();
    return false;
  }
  Machine changed;
  if (!readMachine(text, setting, changed, error)) {
    // The line is one of a text that nobody has seen.
    size_t line = setting.size() + 1, end = error.find(':', line);
    if (error.compare(0, setting.size(), setting) == 0 && end != std::string::npos)
      error.erase(setting.size(), end - setting.size());
    return false;
  }
  machine = changed;
  yamlText = text;
  return true;
}

bool sameMemoryMap(const Machine &a, const Machine &b) {
  auto map = [](const Machine &m) {
    return std::make_tuple(m.cards, m.chiplets, m.quadsPerChiplet, m.slicesPerQuad, m.coresPerSlice, m.sramPerCore,
                           m.stashPerQuad, m.dram.capacity);
  };
  return map(a) == map(b);
}

} // namespace ahm::targets
