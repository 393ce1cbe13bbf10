/* Scores one clip by an exported model through TensorFlow's C API, as a program without Python does.

       score MODEL_DIR SAMPLES.f32 INPUT:INDEX OUTPUT:INDEX
*/
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tensorflow/c/c_api.h>

static TF_Output place(TF_Graph *graph, char *name) {
  char *colon = strchr(name, ':');
  TF_Output output;
  *colon = 0;
  output.oper = TF_GraphOperationByName(graph, name);
  output.index = atoi(colon + 1);
  return output;
}

static void stop_unless_ok(const TF_Status *status) {
  if (TF_GetCode(status) != TF_OK) {
    fprintf(stderr, "%s\n", TF_Message(status));
    exit(1);
  }
}

int main(int count, char **arguments) {
  const char *tags[] = {"serve"};
  TF_Status *status = TF_NewStatus();
  TF_Graph *graph = TF_NewGraph();
  TF_SessionOptions *options = TF_NewSessionOptions();
  if (count != 5) return 2;
  TF_Session *session =
      TF_LoadSessionFromSavedModel(options, NULL, arguments[1], tags, 1, graph, NULL, status);
  stop_unless_ok(status);

  FILE *file = fopen(arguments[2], "rb");
  if (!file) return 2;
  fseek(file, 0, SEEK_END);
  int64_t shape[] = {1, ftell(file) / (int64_t)sizeof(float)};
  rewind(file);
  TF_Tensor *waveform = TF_AllocateTensor(TF_FLOAT, shape, 2, shape[1] * sizeof(float));
  if (fread(TF_TensorData(waveform), sizeof(float), shape[1], file) != (size_t)shape[1]) return 2;
  fclose(file);

  TF_Output input = place(graph, arguments[3]), output = place(graph, arguments[4]);
  TF_Tensor *score = NULL;
  TF_SessionRun(session, NULL, &input, &waveform, 1, &output, &score, 1, NULL, 0, NULL, status);
  stop_unless_ok(status);
  printf("%.9g\n", *(float *)TF_TensorData(score));
  return 0;
}
