/* `coldpath completion bash|zsh`: a completion script for the shell, made from the table of verbs. Verbs, their summaries and words
 * like put|wal stand in the script; a verb's options are asked of the program itself (VERB --help) and tables of the region
 * (coldpath tables) when they are wanted, so that they are always those of the program that is installed. */
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/verb.h"

typedef struct completion_args {
    cp_common common;
    const char *shell;
} completion_args;

/* The choices that a verb's arguments name in small letters: "all" of "TABLE|all", "ls show" of "ls|show [TABLE]". */
static void words_write(const char *arguments)
{
    static const char between[] = " |[]";
    size_t len;
    for (const char *word = arguments + strspn(arguments, between); *word;
         word += len + strspn(word + len, between)) {
        len = strcspn(word, between);
        const bool choice = word[len] == '|' || (word > arguments && word[-1] == '|');
        if (choice && islower((unsigned char)*word))
            printf(" %.*s", (int)len, word);
    }
}

static bool takes_table(const cp_verb *verb)
{
    return strstr(verb->arguments, "TABLE") != NULL;
}

static const char bash_body[] =
    "_coldpath_options() {\n"
    "    coldpath \"$1\" --help 2>/dev/null | grep -oE '^ {2,6}(-[a-zA-Z?], )?--[a-z][a-z-]*' | grep -oE -- "
    "'--[a-z-]+'\n"
    "}\n\n"
    "_coldpath_tables() {\n"
    "    coldpath tables 2>/dev/null </dev/null | tail -n +2 | cut -f 1\n"
    "}\n\n"
    "_coldpath() {\n"
    "    local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD-1]} verb=${COMP_WORDS[1]}\n"
    "    if [ \"$COMP_CWORD\" -eq 1 ]; then\n"
    "        mapfile -t COMPREPLY < <(compgen -W \"$_coldpath_verbs\" -- \"$current\")\n"
    "    elif [[ $previous == --config || $previous == -c ]]; then\n"
    "        mapfile -t COMPREPLY < <(compgen -f -- \"$current\")\n"
    "    elif [[ $current == -* ]]; then\n"
    "        mapfile -t COMPREPLY < <(compgen -W \"$(_coldpath_options \"$verb\")\" -- \"$current\")\n"
    "    else\n"
    "        local words=${_coldpath_words[$verb]:-}\n"
    "        [[ -z ${_coldpath_takes_table[$verb]:-} ]] || words+=\" $(_coldpath_tables)\"\n"
    "        mapfile -t COMPREPLY < <(compgen -W \"$words\" -- \"$current\"; compgen -f -- \"$current\")\n"
    "    fi\n"
    "}\n"
    "complete -o filenames -F _coldpath coldpath\n";

static void bash_write(void)
{
    puts("# bash completion of coldpath, made by `coldpath completion bash`");
    fputs("_coldpath_verbs=\"", stdout);
    for (const cp_verb *verb = cp_verbs; verb->name; verb++)
        printf("%s%s", verb == cp_verbs ? "" : " ", verb->name);
    puts("\"\ndeclare -gA _coldpath_words=() _coldpath_takes_table=()");
    for (const cp_verb *verb = cp_verbs; verb->name; verb++) {
        printf("_coldpath_words[%s]=\"", verb->name);
        if (strcmp(verb->name, "help") == 0)
            fputs("$_coldpath_verbs", stdout);
        words_write(verb->arguments);
        puts("\"");
        if (takes_table(verb))
            printf("_coldpath_takes_table[%s]=1\n", verb->name);
    }
    putchar('\n');
    fputs(bash_body, stdout);
}

static const char zsh_body[] =
    "_coldpath() {\n"
    "    local verb=${words[2]}\n"
    "    if (( CURRENT == 2 )); then\n"
    "        _describe -t verbs verb _coldpath_verbs\n"
    "    elif [[ ${words[CURRENT-1]} == (--config|-c) ]]; then\n"
    "        _files\n"
    "    elif [[ ${words[CURRENT]} == -* ]]; then\n"
    "        local -a options\n"
    "        options=(${(f)\"$(coldpath $verb --help 2>/dev/null | grep -oE '^ {2,6}(-[a-zA-Z?], "
    ")?--[a-z][a-z-]*' | grep -oE -- '--[a-z-]+')\"})\n"
    "        compadd -- $options\n"
    "    else\n"
    "        local -a choices\n"
    "        choices=(${=_coldpath_words[$verb]})\n"
    "        [[ -z ${_coldpath_takes_table[$verb]} ]] ||\n"
    "            choices+=(${(f)\"$(coldpath tables 2>/dev/null </dev/null | tail -n +2 | cut -f 1)\"})\n"
    "        compadd -- $choices\n"
    "        _files\n"
    "    fi\n"
    "}\n"
    "if [[ $funcstack[1] == _coldpath ]]; then _coldpath \"$@\"; else compdef _coldpath coldpath; fi\n";

/* A summary for zsh's single quotes and _describe, to which ':' means something. */
static void zsh_summary(const char *text)
{
    for (; *text; text++) {
        if (*text == '\'')
            fputs("'\\''", stdout);
        else if (*text == ':')
            fputs("\\:", stdout);
        else
            putchar(*text);
    }
}

static void zsh_write(void)
{
    puts("#compdef coldpath\n# zsh completion of coldpath, made by `coldpath completion zsh`\n"
         "typeset -gA _coldpath_words _coldpath_takes_table\ntypeset -ga _coldpath_verbs\n_coldpath_verbs=(");
    for (const cp_verb *verb = cp_verbs; verb->name; verb++) {
        printf("    '%s:", verb->name);
        zsh_summary(verb->summary);
        puts("'");
    }
    puts(")");
    for (const cp_verb *verb = cp_verbs; verb->name; verb++) {
        printf("_coldpath_words[%s]='", verb->name);
        words_write(verb->arguments);
        printf("'\n_coldpath_takes_table[%s]=%s\n", verb->name, takes_table(verb) ? "1" : "");
    }
    putchar('\n');
    fputs(zsh_body, stdout);
}

/* NOLINTNEXTLINE(readability-non-const-parameter): argp's type */
static error_t completion_parse(int key, char *arg, struct argp_state *state)
{
    completion_args *args = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &args->common;
        return 0;
    case ARGP_KEY_ARG:
        if (args->shell || (strcmp(arg, "bash") != 0 && strcmp(arg, "zsh") != 0))
            argp_error(state, "one of bash and zsh");
        args->shell = arg;
        return 0;
    case ARGP_KEY_END:
        if (!args->shell)
            argp_error(state, "for which shell? bash or zsh");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

int cp_verb_completion(int argc, char **argv)
{
    static const struct argp_child children[] = {{&cp_common_argp, 0, NULL, 0}, {0}};
    static const struct argp argp = {
        .parser = completion_parse,
        .args_doc = "bash|zsh",
        .doc = "Prints the completion for a shell.\v"
               "bash: source <(coldpath completion bash). zsh: the same, after compinit; or "
               "as _coldpath in a directory of $fpath.",
        .children = children};
    completion_args args = {0};
    argp_parse(&argp, argc, argv, 0, NULL, &args);
    if (strcmp(args.shell, "bash") == 0)
        bash_write();
    else
        zsh_write();
    return cp_output_finish();
}
