/* SPDX-License-Identifier: BSD-3-Clause */
#include "config/document.h"

#include <errno.h>
#include <string.h>
#include <yaml.h>

struct open_container {
    struct document_node *node;
    struct document_node *last_child;
};

struct builder {
    struct arena *arena;
    struct problems *problems;
    const struct input *input;
    struct open_container open[CONFIG_NESTING_MAX];
    size_t depth;
    size_t node_count;
    size_t document_count;
    const struct document_node *root;
    bool is_done;
};

static struct config_mark mark_of(yaml_mark_t mark)
{
    /* Both fit: a file has at most CONFIG_FILE_BYTES_MAX characters. */
    return (struct config_mark){.line = (uint32_t)mark.line + 1,
                                .column = (uint32_t)mark.column + 1};
}

static int refuse(struct builder *builder, yaml_mark_t mark, const char *problem)
{
    problems_add(builder->problems, mark_of(mark), "%s", problem);
    return -EINVAL;
}

static int refuse_decoration(struct builder *builder, const yaml_event_t *event,
                             const yaml_char_t *anchor, const yaml_char_t *tag)
{
    if (anchor)
        return refuse(builder, event->start_mark, "an anchor (&); expected a value without anchor");
    if (tag)
        return refuse(builder, event->start_mark, "a tag (!); expected a value without tag");
    return 0;
}

static int node_add(struct builder *builder, const yaml_event_t *event, enum document_kind kind,
                    struct document_node **added)
{
    if (++builder->node_count > DOCUMENT_NODES_MAX)
        return refuse(builder, event->start_mark,
                      "too many keys and values; expected at most 655360 in a file");
    struct document_node *node = arena_alloc(builder->arena, 1, sizeof(*node));
    if (!node)
        return -ENOMEM;
    node->kind = kind;
    node->mark = mark_of(event->start_mark);
    if (builder->depth == 0) {
        builder->root = node;
    } else {
        struct open_container *parent = &builder->open[builder->depth - 1];
        if (parent->last_child)
            parent->last_child->next = node;
        else
            parent->node->children = node;
        parent->last_child = node;
        parent->node->child_count++;
    }
    *added = node;
    return 0;
}

static int scalar_add(struct builder *builder, const yaml_event_t *event)
{
    struct document_node *node;
    int error =
        refuse_decoration(builder, event, event->data.scalar.anchor, event->data.scalar.tag);
    if (!error)
        error = node_add(builder, event, DOCUMENT_SCALAR, &node);
    if (error)
        return error;
    node->quoted = event->data.scalar.style != YAML_PLAIN_SCALAR_STYLE;
    node->text_bytes = event->data.scalar.length;
    node->text =
        arena_copy_text(builder->arena, (const char *)event->data.scalar.value, node->text_bytes);
    return node->text ? 0 : -ENOMEM;
}

static int container_open(struct builder *builder, const yaml_event_t *event,
                          enum document_kind kind, const yaml_char_t *anchor,
                          const yaml_char_t *tag)
{
    struct document_node *node;
    int error = refuse_decoration(builder, event, anchor, tag);
    if (!error && builder->depth == CONFIG_NESTING_MAX)
        error = refuse(builder, event->start_mark, "nested too deeply; expected at most 16 levels");
    if (!error)
        error = node_add(builder, event, kind, &node);
    if (!error)
        builder->open[builder->depth++] = (struct open_container){.node = node};
    return error;
}

static int event_take(struct builder *builder, const yaml_event_t *event)
{
    switch (event->type) {
    case YAML_DOCUMENT_START_EVENT:
        if (builder->document_count++ > 0)
            return refuse(builder, event->start_mark,
                          "a second document; expected one document in the file");
        return 0;
    case YAML_SCALAR_EVENT:
        return scalar_add(builder, event);
    case YAML_SEQUENCE_START_EVENT:
        return container_open(builder, event, DOCUMENT_SEQUENCE, event->data.sequence_start.anchor,
                              event->data.sequence_start.tag);
    case YAML_MAPPING_START_EVENT:
        return container_open(builder, event, DOCUMENT_MAPPING, event->data.mapping_start.anchor,
                              event->data.mapping_start.tag);
    case YAML_SEQUENCE_END_EVENT:
    case YAML_MAPPING_END_EVENT:
        builder->depth--;
        return 0;
    case YAML_ALIAS_EVENT:
        return refuse(builder, event->start_mark, "an alias (*); expected the value itself");
    case YAML_STREAM_END_EVENT:
        builder->is_done = true;
        return 0;
    default: /* stream start, document end, nothing */
        return 0;
    }
}

static bool is_at_tab(const struct input *input, struct config_mark mark)
{
    if (mark.line > input->line_count)
        return false;
    size_t line_bytes;
    const char *line = input_line(input, mark.line, &line_bytes);
    size_t blank = strspn(line, " ");
    return blank < line_bytes && line[blank] == '\t' && mark.column <= blank + 1;
}

/* What libyaml says, with the context it gives: both name the place. */
static int refuse_syntax(struct builder *builder, const yaml_parser_t *parser)
{
    if (parser->error == YAML_MEMORY_ERROR)
        return -ENOMEM;
    struct config_mark mark = mark_of(parser->problem_mark);
    if (is_at_tab(builder->input, mark)) {
        problems_add(builder->problems, mark, "a tab in the indentation; expected spaces");
        return -EINVAL;
    }
    const char *problem = parser->problem ? parser->problem : "it cannot be parsed";
    if (parser->context)
        problems_add(builder->problems, mark, "%s %s (begun at %u:%u); expected valid YAML",
                     problem, parser->context, (unsigned)parser->context_mark.line + 1,
                     (unsigned)parser->context_mark.column + 1);
    else
        problems_add(builder->problems, mark, "%s; expected valid YAML", problem);
    return -EINVAL;
}

int document_parse(const struct input *input, struct arena *arena, struct problems *problems,
                   const struct document_node **root)
{
    struct builder builder = {.arena = arena, .problems = problems, .input = input};
    yaml_parser_t parser;
    if (!yaml_parser_initialize(&parser))
        return -ENOMEM;
    yaml_parser_set_encoding(&parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&parser, (const unsigned char *)input->bytes, input->size_bytes);
    int error = 0;
    while (!error && !builder.is_done) { /* bounded: each event but five is a node or ends one */
        yaml_event_t event;
        if (!yaml_parser_parse(&parser, &event)) {
            error = refuse_syntax(&builder, &parser);
            break;
        }
        error = event_take(&builder, &event);
        yaml_event_delete(&event);
    }
    yaml_parser_delete(&parser);
    *root = builder.root;
    return error;
}

const struct document_node *document_find(const struct document_node *mapping, const char *key)
{
    const struct document_node *node = mapping->kind == DOCUMENT_MAPPING ? mapping->children : NULL;
    for (; node; node = node->next->next) { /* keys and values come in pairs */
        if (node->kind == DOCUMENT_SCALAR && strcmp(node->text, key) == 0)
            return node->next;
    }
    return NULL;
}
