"""Gradients through the states of linear attention and of the delta rule, from the last token to the first.

The formulas of the recurrences of recurrent.py by the chain rule, all states kept: S' = e^g S_(t-1), then S_t = S' + k vT, or
S' + k uT with u = b (v - S'T k); o = scale S_tT q, divided by n = q z with a normaliser.
"""
import numpy as np


def through_states(variant, queries, keys, values, decay, beta, past, scale, normalizer, offsets, kv_of, d_context, d_state,
                   wrong=None):
    """Takes what recurrent.run takes, and the gradients of context and of the last state; returns those of queries, keys,
    values, decay, beta (None without), past and states. `wrong`: the step that is done otherwise (mistaken_backward.py)."""
    batch, kv_heads, tokens, dk = keys.shape
    dv = values.shape[3]
    heads, count = queries.shape[1], queries.shape[2]
    scale = 1.0 if scale is None else scale
    d_queries, d_keys, d_values = np.zeros(queries.shape), np.zeros(keys.shape), np.zeros(values.shape)
    d_decay = None if decay is None else np.zeros(decay.shape)
    d_beta = None if beta is None else np.zeros(beta.shape)
    d_past, d_states = np.zeros((batch, kv_heads, dk, dv)), np.zeros((batch, kv_heads, tokens, dk, dv))
    for b, h in np.ndindex(batch, kv_heads):
        first = np.zeros((dk, dv)) if past is None else past[b, h]
        states, sums = [first], [np.zeros(dk)]  # [t + 1] is after token t
        carried = []
        for t in range(tokens):
            e = np.exp(0.0 if decay is None else decay[b, h, t])
            e = e[:, None] if np.ndim(e) else e
            old = e * states[-1]
            k, v = keys[b, h, t], values[b, h, t]
            rate = 1.0 if beta is None else beta[b, h, t]
            carried.append((old, e, rate))
            states.append(old + np.outer(k, rate * (v - old.T @ k) if variant == "delta" else v))
            sums.append(np.ravel(e) * sums[-1] + k)
        g_state = d_state[b, h].copy()  # of S_t, while t goes down
        g_sum = np.zeros(dk)
        readers = [[] for _ in range(tokens + 1)]
        for head, i in np.ndindex(heads, count):
            if kv_of(head) == h:
                readers[tokens if offsets is None else max(min(i + offsets[b], tokens - 1), -1) + 1].append((head, i))
        for t in range(tokens, -1, -1):
            for head, i in readers[t]:
                q, d_o = queries[b, head, i], d_context[b, head, i]
                if normalizer:
                    n = q @ sums[t]
                    d_n = -(d_o @ (scale * states[t].T @ q)) / (n * n)
                    d_n = 0.0 if wrong == "normalizer_constant" else d_n
                    d_queries[b, head, i] += d_n * sums[t]
                    g_sum = g_sum + d_n * q
                    d_o = d_o / n
                g_state = g_state + scale * np.outer(q, d_o)
                d_queries[b, head, i] += scale * states[t] @ d_o
            if t == 0:
                d_past[b, h] = g_state
                break
            d_states[b, h, t - 1] = g_state
            k, v = keys[b, h, t - 1], values[b, h, t - 1]
            old, e, rate = carried[t - 1]
            if variant == "delta":
                error = v - old.T @ k
                toward = g_state.T @ k
                w = rate * toward
                d_values[b, h, t - 1] = w
                d_keys[b, h, t - 1] = g_state @ (rate * error) - (0.0 if wrong == "delta_error_constant" else old @ w)
                if d_beta is not None:
                    d_beta[b, h, t - 1] = toward * error if np.ndim(rate) else toward @ error
                if wrong not in ("delta_error_constant", "delta_state_identity"):
                    g_state = g_state - np.outer(k, w)
            else:
                d_values[b, h, t - 1] = g_state.T @ k
                d_keys[b, h, t - 1] = g_state @ v
            if normalizer:
                d_keys[b, h, t - 1] += g_sum
            if d_decay is not None:
                of_row = (g_state * (states[t - 1] if wrong == "decay_no_factor" else old)).sum(axis=1)
                if normalizer:
                    of_row = of_row + g_sum * np.ravel(e) * sums[t - 1]
                d_decay[b, h, t - 1] = of_row if np.ndim(decay[b, h, t - 1]) else of_row.sum()
            if wrong != "decay_not_in_backward":
                g_state, g_sum = e * g_state, np.ravel(e) * g_sum
            if wrong == "state_not_carried":
                g_state, g_sum = 0.0 * g_state, 0.0 * g_sum
    return d_queries, d_keys, d_values, d_decay, d_beta, d_past, d_states
