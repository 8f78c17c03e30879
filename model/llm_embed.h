/* A base LLM's own embeddings of texts: the hidden state of the last token after the last layer and the final
 * norm (what transformers calls hidden_states[-1]), scaled to length sqrt(C). As the reference does it
 * (SakanaAI/text-to-lora, embed_texts with last_token_pool): the text is stripped and gets a full stop if its
 * last character is a letter, no chat template, in front what the tokenizer puts before every text, cut on
 * the left to 8192 tokens (and to the model's positions). A text's embedding does not depend on the other
 * texts of the call. */
#ifndef T2L_MODEL_LLM_EMBED_H
#define T2L_MODEL_LLM_EMBED_H

#include "model/llm.h"

/* out [n,C] overwritten. */
Status llm_embed(const Llm *llm, Device *dev, float *out, const char *const *texts, int64_t n);
/* Of sequences of tokens: number i is ids[start[i] .. start[i+1]), not empty. */
Status llm_embed_tokens(const Llm *llm, Device *dev, float *out, const int32_t *ids, const int64_t *start,
                        int64_t n);

#endif
