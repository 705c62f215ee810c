/* See yaml.h. The builder keeps a stack of the collections that are open:
 *
 *   event            top of the stack is a mapping          … a sequence     … empty
 *   scalar, alias    becomes its pending key, or the value  joins its text   is the root
 *   start            the same, and is pushed                is not kept
 *   end              merge keys are resolved, pop */
#include "recorder/config/yaml.h"

#include <assert.h>
#include <libfyaml.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "recorder/config/value.h"

typedef struct anchor {
    char *name;
    cp_yaml_node *node;
} anchor;

typedef struct builder {
    const cp_config_source *source;
    cp_config_problems *problems;
    cp_yaml_node *all;
    cp_yaml_node *root;
    cp_yaml_node *open[CP_MAX_YAML_DEPTH];
    cp_yaml_node *pending[CP_MAX_YAML_DEPTH]; /* key that waits for its value, per open mapping */
    anchor anchors[CP_MAX_YAML_ANCHORS];
    uint32_t depth;
    uint32_t anchor_count;
    uint32_t node_count;
    uint32_t merged;
    uint32_t documents;
} builder;

static int fail(builder *b, const cp_config_place *place, const char *remedy, const char *what)
{
    cp_config_problem_add(b->problems, place, remedy, "%s", what);
    return CP_E_CONFIG;
}

static cp_config_place place_of(const builder *b, struct fy_event *event, struct fy_token *token)
{
    const struct fy_mark *from = token ? fy_token_start_mark(token) : NULL;
    const struct fy_mark *to = token ? fy_token_end_mark(token) : NULL;
    if (!from)
        from = fy_event_start_mark(event);
    cp_config_place place = {.source = b->source, .width = 1};
    if (from && from->line >= 0) {
        place.line = (uint32_t)from->line + 1;
        place.column = (uint32_t)from->column + 1;
        if (to && to->line == from->line && to->column > from->column)
            place.width = (uint32_t)(to->column - from->column);
    }
    return place;
}

/* ---- mappings ------------------------------------------------------------------------------------------ */

static cp_yaml_entry *find_entry(const cp_yaml_node *mapping, const cp_yaml_node *key)
{
    for (uint32_t i = 0; i < mapping->count; i++) {
        const cp_yaml_node *have = mapping->entries[i].key;
        if (have->len == key->len && memcmp(have->text, key->text, key->len) == 0)
            return &mapping->entries[i];
    }
    return NULL;
}

static int append_entry(builder *b, cp_yaml_node *mapping, cp_yaml_node *key, cp_yaml_node *value)
{
    if (mapping->count == CP_MAX_YAML_ENTRIES)
        return fail(b, &key->place, "at most 1024", "too many keys in one mapping");
    if (mapping->count == mapping->capacity) {
        const uint32_t capacity = mapping->capacity ? mapping->capacity * 2 : 8;
        cp_yaml_entry *grown = realloc(mapping->entries, capacity * sizeof *grown);
        if (!grown)
            return CP_E_NOMEM;
        mapping->entries = grown;
        mapping->capacity = capacity;
    }
    mapping->entries[mapping->count++] = (cp_yaml_entry){key, value};
    return CP_OK;
}

static int add_entry(builder *b, cp_yaml_node *mapping, cp_yaml_node *key, cp_yaml_node *value)
{
    const cp_yaml_entry *have = find_entry(mapping, key);
    if (have) {
        char shown[80], remedy[64];
        snprintf(remedy, sizeof remedy, "it was given in line %u already; keep one", have->key->place.line);
        cp_config_problem_add(b->problems, &key->place, remedy, "duplicate key \"%s\"",
                              cp_config_quote(shown, sizeof shown, key->text, key->len));
        return CP_OK;
    }
    return append_entry(b, mapping, key, value);
}

/* Takes the << entry out of a finished mapping and appends the entries of the mapping it names that are not
 * there. */
static int resolve_merge(builder *b, cp_yaml_node *mapping)
{
    for (uint32_t i = 0; i < mapping->count; i++) {
        const cp_yaml_node *key = mapping->entries[i].key, *from = mapping->entries[i].value;
        if (key->len != 2 || memcmp(key->text, "<<", 2) != 0)
            continue;
        if (from->kind != CP_YAML_MAPPING)
            return fail(b, &key->place, "write <<: *anchor", "a merge key needs one mapping");
        mapping->count--;
        memmove(&mapping->entries[i], &mapping->entries[i + 1],
                (mapping->count - i) * sizeof *mapping->entries);
        const uint32_t count = from == mapping ? 0 : from->count;
        for (uint32_t j = 0; j < count; j++) {
            if (find_entry(mapping, from->entries[j].key))
                continue;
            if (++b->merged > CP_MAX_YAML_MERGED)
                return fail(b, &mapping->place, "write fewer, or use table_defaults", "too many merged keys");
            const int rc = append_entry(b, mapping, from->entries[j].key, from->entries[j].value);
            if (rc < 0)
                return rc;
        }
        return CP_OK;
    }
    return CP_OK;
}

/* ---- nodes --------------------------------------------------------------------------------------------- */

static bool scalar_is_null(struct fy_token *token, const char *text, size_t len)
{
    if (token && fy_token_scalar_style(token) != FYSS_PLAIN)
        return false;
    return len == 0 || (len == 1 && *text == '~') || (len == 4 && memcmp(text, "null", 4) == 0);
}

static int new_node(builder *b, struct fy_event *event, cp_yaml_kind kind, cp_yaml_node **out)
{
    struct fy_token *token = fy_event_get_token(event);
    const cp_config_place place = place_of(b, event, token);
    if (++b->node_count > CP_MAX_YAML_NODES)
        return fail(b, &place, "at most 65536 values", "the file is too long");
    if (fy_event_get_tag_token(event))
        return fail(b, &place, "leave the tag (!…) out", "tags are not supported");
    cp_yaml_node *node = calloc(1, sizeof *node);
    if (!node)
        return CP_E_NOMEM;
    node->kind = kind;
    node->place = place;
    node->next = b->all;
    b->all = node;
    *out = node;
    if (kind != CP_YAML_SCALAR)
        return CP_OK;
    size_t len = 0;
    const char *text = token ? fy_token_get_text(token, &len) : NULL;
    if (!text)
        len = 0;
    node->text = malloc(len + 1);
    if (!node->text)
        return CP_E_NOMEM;
    if (len)
        memcpy(node->text, text, len);
    node->text[len] = '\0';
    node->len = len;
    node->null = scalar_is_null(token, node->text, len);
    return CP_OK;
}

static int set_anchor(builder *b, struct fy_event *event, cp_yaml_node *node)
{
    struct fy_token *token = fy_event_get_anchor_token(event);
    if (!token)
        return CP_OK;
    size_t len = 0;
    const char *name = fy_token_get_text(token, &len);
    if (b->anchor_count == CP_MAX_YAML_ANCHORS)
        return fail(b, &node->place, "at most 256", "too many anchors");
    char *copy = name ? strndup(name, len) : NULL;
    if (!copy)
        return CP_E_NOMEM;
    b->anchors[b->anchor_count++] = (anchor){copy, node};
    return CP_OK;
}

static int find_anchor(builder *b, struct fy_event *event, cp_yaml_node **out)
{
    struct fy_token *token = fy_event_get_token(event);
    const cp_config_place place = place_of(b, event, token);
    size_t len = 0;
    const char *name = token ? fy_token_get_text(token, &len) : NULL;
    for (uint32_t i = b->anchor_count; name && i-- > 0;) {
        if (strlen(b->anchors[i].name) == len && memcmp(b->anchors[i].name, name, len) == 0) {
            *out = b->anchors[i].node;
            return CP_OK;
        }
    }
    return fail(b, &place, "an anchor (&name) has to come before its alias (*name)", "no such anchor");
}

/* Lists are of names, which are kept as one text with commas. */
static int sequence_add(cp_yaml_node *sequence, const cp_yaml_node *item)
{
    const size_t comma = sequence->text ? 2 : 0;
    if (item->kind != CP_YAML_SCALAR || sequence->len + comma + item->len > CP_MAX_CONFIG_VALUE) {
        sequence->nested = true;
        return CP_OK;
    }
    char *text = realloc(sequence->text, sequence->len + comma + item->len + 1);
    if (!text)
        return CP_E_NOMEM;
    memcpy(text + sequence->len, ", ", comma);
    memcpy(text + sequence->len + comma, item->text, item->len + 1);
    sequence->text = text;
    sequence->len += comma + item->len;
    return CP_OK;
}

static int attach(builder *b, cp_yaml_node *node, const cp_config_place *place)
{
    if (b->depth == 0) {
        b->root = node;
        return CP_OK;
    }
    cp_yaml_node *parent = b->open[b->depth - 1], **pending = &b->pending[b->depth - 1];
    if (parent->kind != CP_YAML_MAPPING)
        return sequence_add(parent, node);
    if (*pending) {
        cp_yaml_node *key = *pending;
        *pending = NULL;
        return add_entry(b, parent, key, node);
    }
    if (node->kind != CP_YAML_SCALAR)
        return fail(b, place, NULL, "a key has to be plain text");
    *pending = node;
    return CP_OK;
}

static int start_collection(builder *b, struct fy_event *event, cp_yaml_kind kind)
{
    cp_yaml_node *node = NULL;
    int rc = new_node(b, event, kind, &node);
    if (rc == CP_OK)
        rc = set_anchor(b, event, node);
    if (rc == CP_OK)
        rc = attach(b, node, &node->place);
    if (rc == CP_OK && b->depth == CP_MAX_YAML_DEPTH)
        rc = fail(b, &node->place, "the configuration has four levels", "nested too deeply");
    if (rc < 0)
        return rc;
    b->pending[b->depth] = NULL;
    b->open[b->depth++] = node;
    return CP_OK;
}

static int take_event(builder *b, struct fy_event *event)
{
    cp_yaml_node *node = NULL;
    int rc = CP_OK;
    switch (event->type) {
    case FYET_DOCUMENT_START:
        if (++b->documents > 1) {
            const cp_config_place place = place_of(b, event, fy_event_get_token(event));
            return fail(b, &place, "remove the line with ---", "a second document");
        }
        return CP_OK;
    case FYET_SCALAR:
        rc = new_node(b, event, CP_YAML_SCALAR, &node);
        if (rc == CP_OK)
            rc = set_anchor(b, event, node);
        return rc < 0 ? rc : attach(b, node, &node->place);
    case FYET_ALIAS:
        rc = find_anchor(b, event, &node);
        return rc < 0 ? rc : attach(b, node, &node->place);
    case FYET_MAPPING_START:
        return start_collection(b, event, CP_YAML_MAPPING);
    case FYET_SEQUENCE_START:
        return start_collection(b, event, CP_YAML_SEQUENCE);
    case FYET_MAPPING_END: /* libfyaml balances starts and ends */
        assert(b->depth > 0);
        rc = resolve_merge(b, b->open[b->depth - 1]);
        b->depth--;
        return rc;
    case FYET_SEQUENCE_END:
        assert(b->depth > 0);
        b->depth--;
        return CP_OK;
    default:
        return CP_OK;
    }
}

/* ---- the text ------------------------------------------------------------------------------------------ */

/* libfyaml takes bytes that are not UTF-8 for the end of the text: look for them first. */
static int check_text(builder *b)
{
    const unsigned char *text = (const unsigned char *)b->source->text;
    cp_config_place place = {.source = b->source, .line = 1, .column = 1, .width = 1};
    for (size_t i = 0; i < b->source->len;) {
        const size_t n = cp_utf8_length(text + i, b->source->len - i);
        const bool control =
            (text[i] < 0x20 && !strchr("\t\n\r", text[i])) || text[i] == 0 || text[i] == 0x7F;
        if (n == 0 || control) {
            cp_config_problem_add(b->problems, &place, "the file has to be text in UTF-8",
                                  "byte 0x%02x is not text", text[i]);
            return CP_E_CONFIG;
        }
        place.column++;
        if (text[i] == '\n') {
            place.line++;
            place.column = 1;
        }
        i += n;
    }
    return CP_OK;
}

static void add_syntax_errors(builder *b, struct fy_diag *diag)
{
    void *iterator = NULL;
    const struct fy_diag_error *error = fy_diag_errors_iterate(diag, &iterator);
    cp_config_place place = {.source = b->source, .width = 1};
    if (error && error->line > 0) {
        place.line = (uint32_t)error->line;
        place.column = error->column > 0 ? (uint32_t)error->column : 1;
    }
    char shown[80];
    const char *message = error && error->msg ? error->msg : "not YAML";
    cp_config_problem_add(b->problems, &place, NULL, "YAML: %s",
                          cp_config_quote(shown, sizeof shown, message, strlen(message)));
}

static int run_parser(builder *b, struct fy_parser *parser, struct fy_diag *diag)
{
    struct fy_event *event;
    int rc = CP_OK;
    if (fy_parser_set_string(parser, b->source->text, b->source->len) != 0)
        return CP_E_NOMEM;
    while (rc == CP_OK && (event = fy_parser_parse(parser))) {
        rc = take_event(b, event);
        fy_parser_event_free(parser, event);
    }
    if (rc == CP_OK && (fy_parser_get_stream_error(parser) || b->depth > 0)) {
        add_syntax_errors(b, diag);
        rc = CP_E_CONFIG;
    }
    return rc;
}

static int parse_events(builder *b)
{
    struct fy_diag_cfg diag_config;
    fy_diag_cfg_default(&diag_config);
    diag_config.fp = NULL;
    struct fy_diag *diag = fy_diag_create(&diag_config);
    if (!diag)
        return CP_E_NOMEM;
    fy_diag_set_collect_errors(diag, true);
    const struct fy_parse_cfg config = {.flags = FYPCF_QUIET | FYPCF_COLLECT_DIAG, .diag = diag};
    struct fy_parser *parser = fy_parser_create(&config);
    int rc = CP_E_NOMEM;
    if (parser) {
        rc = run_parser(b, parser, diag);
        fy_parser_destroy(parser);
    }
    fy_diag_destroy(diag);
    return rc;
}

int cp_yaml_parse(const cp_config_source *source, cp_yaml_node **root, cp_yaml_node **all,
                  cp_config_problems *problems)
{
    *root = *all = NULL;
    builder *b = calloc(1, sizeof *b);
    if (!b)
        return CP_E_NOMEM;
    b->source = source;
    b->problems = problems;
    int rc = check_text(b);
    if (rc == CP_OK)
        rc = parse_events(b);
    for (uint32_t i = 0; i < b->anchor_count; i++)
        free(b->anchors[i].name);
    *all = b->all;
    *root = rc == CP_OK ? b->root : NULL;
    free(b);
    return rc;
}

void cp_yaml_free(cp_yaml_node *all)
{
    while (all) {
        cp_yaml_node *next = all->next;
        if (all->text)
            explicit_bzero(all->text, all->len);
        free(all->text);
        free(all->entries);
        free(all);
        all = next;
    }
}
