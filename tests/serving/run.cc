// Runs signatures of SavedModels through TensorFlow's C++ loader, as TensorFlow Serving does: no Python.
//
//   run [MODEL_FOLDER REQUEST_FILE RESPONSE_FILE]...
//
// A file holds one serialised NameAttrList: its name is the signature's, its attributes are tensors by name.

#include <fstream>
#include <iostream>
#include <map>
#include <memory>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

#include "tensorflow/cc/saved_model/loader.h"
#include "tensorflow/core/framework/attr_value.pb.h"
#include "tensorflow/core/framework/tensor.h"

namespace {

void Check(const absl::Status& status, const std::string& what) {
  if (!status.ok()) throw std::runtime_error(what + ": " + std::string(status.message()));
}

tensorflow::NameAttrList Read(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::stringstream content;
  content << file.rdbuf();
  tensorflow::NameAttrList request;
  if (!file || !request.ParseFromString(content.str())) throw std::runtime_error("cannot read " + path);
  return request;
}

tensorflow::NameAttrList Run(const tensorflow::SavedModelBundle& model, const tensorflow::NameAttrList& request) {
  const tensorflow::SignatureDef& signature = model.GetSignatures().at(request.name());
  std::vector<std::pair<std::string, tensorflow::Tensor>> feeds;
  for (const auto& [name, value] : request.attr()) {
    tensorflow::Tensor tensor;
    if (!tensor.FromProto(value.tensor())) throw std::runtime_error("not a tensor: " + name);
    feeds.emplace_back(signature.inputs().at(name).name(), tensor);
  }
  std::vector<std::string> names, fetches;
  for (const auto& [name, info] : signature.outputs()) {
    names.push_back(name);
    fetches.push_back(info.name());
  }
  std::vector<tensorflow::Tensor> outputs;
  Check(model.session->Run(feeds, fetches, {}, &outputs), request.name());
  tensorflow::NameAttrList response;
  response.set_name(request.name());
  for (size_t i = 0; i < names.size(); ++i) {
    outputs[i].AsProtoField((*response.mutable_attr())[names[i]].mutable_tensor());
  }
  return response;
}

}  // namespace

int main(int count, char** arguments) try {
  std::map<std::string, std::unique_ptr<tensorflow::SavedModelBundle>> models;
  for (int i = 1; i + 2 < count; i += 3) {
    const std::string folder = arguments[i];
    std::unique_ptr<tensorflow::SavedModelBundle>& model = models[folder];
    if (model == nullptr) {
      model = std::make_unique<tensorflow::SavedModelBundle>();
      Check(tensorflow::LoadSavedModel({}, {}, folder, {"serve"}, model.get()), folder);
    }
    std::ofstream file(arguments[i + 2], std::ios::binary);
    if (!Run(*model, Read(arguments[i + 1])).SerializeToOstream(&file)) throw std::runtime_error("cannot write");
  }
  return 0;
} catch (const std::exception& error) {
  std::cerr << error.what() << "\n";
  return 1;
}
