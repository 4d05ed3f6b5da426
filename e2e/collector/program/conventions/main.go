// Command conventions prints the attributes and the GenAI metrics of OpenTelemetry's semantic
// conventions as JSON. Its argument is a folder of the Go module `go.opentelemetry.io/otel` with one
// version of the conventions, which is generated from their registry.
package main

import (
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"log"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

type convention struct {
	// The method of attribute.Key that sets a value: String, Int, StringSlice …
	Type string `json:"type,omitempty"`
	// The values of an enum.
	Values []string `json:"values,omitempty"`
}

type instrument struct {
	Type string `json:"type"`
	Unit string `json:"unit"`
	// Attributes that each data point must have.
	Required []string `json:"required"`
	Optional []string `json:"optional"`
}

func main() {
	log.SetFlags(0)
	if len(os.Args) != 2 {
		log.Fatal("usage: conventions DIR")
	}
	result := struct {
		Attributes map[string]*convention `json:"attributes"`
		Metrics    map[string]*instrument `json:"metrics"`
	}{attributesOf(parse(os.Args[1], "attribute_group.go")), metricsOf(parse(os.Args[1], "genaiconv/metric.go"))}
	if err := json.NewEncoder(os.Stdout).Encode(result); err != nil {
		log.Fatal(err)
	}
}

func parse(folder, name string) *ast.File {
	file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(folder, name), nil, parser.SkipObjectResolution)
	if err != nil {
		log.Fatal(err)
	}
	return file
}

// attributesOf reads `XKey = attribute.Key("x")`, `X = XKey.String("value")` of enums, and the
// functions that return `XKey.Type(val)`.
func attributesOf(file *ast.File) map[string]*convention {
	byKey := map[string]*convention{}
	byName := map[string]*convention{}
	ast.Inspect(file, func(node ast.Node) bool {
		spec, ok := node.(*ast.ValueSpec)
		if !ok || len(spec.Values) != 1 {
			return true
		}
		if name, ok := argument(spec.Values[0], "Key"); ok {
			byName[name] = &convention{}
			byKey[spec.Names[0].Name] = byName[name]
		}
		return true
	})
	ast.Inspect(file, func(node ast.Node) bool {
		call, ok := node.(*ast.CallExpr)
		if !ok {
			return true
		}
		selector, ok := call.Fun.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		key, ok := selector.X.(*ast.Ident)
		if !ok || byKey[key.Name] == nil {
			return true
		}
		attribute := byKey[key.Name]
		attribute.Type = selector.Sel.Name
		if value, ok := argument(call, "String"); ok {
			attribute.Values = append(attribute.Values, value)
		}
		return true
	})
	return byName
}

// metricsOf reads the types of instruments and their methods Name, Unit and Attr….
func metricsOf(file *ast.File) map[string]*instrument {
	byType := map[string]*instrument{}
	byName := map[string]*instrument{}
	for _, declaration := range file.Decls {
		switch declaration := declaration.(type) {
		case *ast.GenDecl:
			for _, spec := range declaration.Specs {
				if name, embedded := embeddedType(spec); embedded != "" {
					byType[name] = &instrument{Type: embedded, Required: []string{}, Optional: []string{}}
				}
			}
		case *ast.FuncDecl:
			if metric := byType[receiver(declaration)]; metric != nil {
				readMethod(declaration, metric, byName)
			}
		}
	}
	return byName
}

func readMethod(method *ast.FuncDecl, metric *instrument, byName map[string]*instrument) {
	name := method.Name.Name
	switch {
	case name == "Name":
		byName[returnedText(method)] = metric
	case name == "Unit":
		metric.Unit = returnedText(method)
	case strings.HasPrefix(name, "Attr"):
		metric.Optional = append(metric.Optional, attributeNames(method)...)
	case name == "Record" || name == "Add":
		metric.Required = append(metric.Required, attributeNames(method)...)
	}
}

// attributeNames returns the names in calls such as `attribute.String("name", …)`, each once.
func attributeNames(method *ast.FuncDecl) []string {
	var names []string
	seen := map[string]bool{}
	ast.Inspect(method.Body, func(node ast.Node) bool {
		call, ok := node.(*ast.CallExpr)
		if !ok || len(call.Args) != 2 {
			return true
		}
		if name, ok := text(call.Args[0]); ok && !seen[name] {
			seen[name] = true
			names = append(names, name)
		}
		return true
	})
	return names
}

func embeddedType(spec ast.Spec) (name, embedded string) {
	declared, ok := spec.(*ast.TypeSpec)
	if !ok {
		return "", ""
	}
	structure, ok := declared.Type.(*ast.StructType)
	if !ok || len(structure.Fields.List) != 1 {
		return "", ""
	}
	selector, ok := structure.Fields.List[0].Type.(*ast.SelectorExpr)
	if !ok {
		return "", ""
	}
	return declared.Name.Name, selector.Sel.Name
}

func receiver(method *ast.FuncDecl) string {
	if method.Recv == nil {
		return ""
	}
	if ident, ok := method.Recv.List[0].Type.(*ast.Ident); ok {
		return ident.Name
	}
	return ""
}

func returnedText(method *ast.FuncDecl) string {
	result, _ := text(method.Body.List[0].(*ast.ReturnStmt).Results[0])
	return result
}

// argument returns the text in a call such as `x.NAME("text")`.
func argument(expression ast.Expr, name string) (string, bool) {
	call, ok := expression.(*ast.CallExpr)
	if !ok || len(call.Args) != 1 {
		return "", false
	}
	if selector, ok := call.Fun.(*ast.SelectorExpr); !ok || selector.Sel.Name != name {
		return "", false
	}
	return text(call.Args[0])
}

func text(expression ast.Expr) (string, bool) {
	literal, ok := expression.(*ast.BasicLit)
	if !ok || literal.Kind != token.STRING {
		return "", false
	}
	value, err := strconv.Unquote(literal.Value)
	return value, err == nil
}
